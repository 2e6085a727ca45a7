'use strict'
// What dat 14 does on a LAN: @hyperswarm/discovery, its DHT left without any other node.
process.env.SODIUM_NATIVE = process.env.SODIUM_NATIVE || 'disable' // has no build for a modern Node
const { args, say } = require('./lib')
const a = args(`mdns14.js announce|lookup KEY(64 hex) [--port P] [--again S] [--log] [--exit S]`, 2)
const multicast = require('multicast-dns')()
const discovery = require('@hyperswarm/discovery')({ bootstrap: [], ephemeral: true, multicast })
const [cmd, key] = a._
const name = Buffer.from(key, 'hex')
if (a.log) {
  multicast.on('response', (r, from) => say('response', {
    by: from.address,
    records: r.answers.map(x => x.type + ' ' + x.name)
  }))
  multicast.on('query', (q, from) => say('query', {
    by: from.address,
    questions: q.questions.map(x => x.type + ' ' + x.name)
  }))
}
const topic = cmd === 'announce'
  ? discovery.announce(name, { port: a.port || 3282, localPort: a.port || 3282, lookup: true })
  : discovery.lookup(name)
topic.on('peer', p => say('peer', { host: p.host, port: p.port, local: p.local }))
multicast.on('ready', () => say('ready'))
if (a.again) setInterval(() => topic.update(), a.again * 1000)
