'use strict'
// A dat through dat-node, with every network switched separately. One JSON object a line on stdout.
const { args, say, end } = require('./lib')
const a = args(`dat-peer.js share|clone DIR [--key K] [--port 3282]
   [--dns HOST[:PORT] ...] [--dht HOST:PORT ...]   use these servers (default: none of that network)
   [--mdns] [--tcp=false] [--utp=false]            mDNS is off unless asked for
   [--interval MS] discovery interval   [--watch] keep importing   [--stay] clone goes on seeding   [--exit S]`, 2)
const Dat = require('dat-node')
const list = x => x === undefined ? [] : [].concat(x)

const [mode, dir] = a._
const net = {
  port: a.port || 3282,
  tcp: a.tcp !== 'false' && a.tcp !== false,
  utp: a.utp !== 'false' && a.utp !== false,
  dns: (list(a.dns).length || a.mdns)
    ? { server: list(a.dns), domain: 'dat.local', multicast: !!a.mdns, interval: a.interval }
    : false,
  dht: list(a.dht).length ? { bootstrap: list(a.dht), interval: a.interval } : false
}

Dat(dir, { key: a.key, sparse: false, errorIfExists: false }, (err, dat) => {
  if (err) throw err
  say('ready', { key: dat.key.toString('hex'), discoveryKey: dat.archive.discoveryKey.toString('hex'), writable: dat.writable })
  dat.archive.metadata.on('append', () => say('appended', { version: dat.archive.version }))
  const n = dat.joinNetwork(net, err => say('first-round-done', { error: err ? err.message : null }))
  n.on('listening', () => say('listening', n.address()))
  for (const e of ['peer', 'peer-banned', 'peer-rejected', 'connecting', 'connect-failed', 'drop']) {
    n.on(e, (p, info) => say(e, { host: p.host || (p.peer && p.peer.host), port: p.port || (p.peer && p.peer.port), info }))
  }
  n.on('connection', (c, info) => {
    const start = Date.now()
    say('connection', { type: info.type, initiator: info.initiator, host: info.host, port: info.port, id: info.id && info.id.toString('hex') })
    c.on('close', () => say('closed', { type: info.type, after: Date.now() - start }))
    c.on('error', e => say('stream-error', { message: e.message }))
  })
  n.on('redundant-connection', (c, info) => say('redundant', { type: info.type, initiator: info.initiator }))
  n.on('error', e => say('swarm-error', { code: e.code, message: e.message }))
  if (mode === 'share') {
    dat.importFiles({ watch: !!a.watch }, err => {
      if (err) throw err
      say('imported', { version: dat.archive.version })
    })
  } else {
    let done = false
    const finish = () => {
      if (done) return
      done = true
      say('synced', { version: dat.archive.version })
      if (!a.stay) setTimeout(() => end(0), 300)
    }
    dat.archive.on('sync', () => { if (dat.archive.version > 0) finish() })
  }
})
