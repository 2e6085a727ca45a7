'use strict'
// One side of a benchmark: an archive on disk in the layout `flat`, one TCP connection, no discovery.
const { args, say, fatal, end } = require('./lib')
const a = args(`bench.js seed STORE [--port P]
       bench.js fetch STORE --key K --port P [--wait] [--stay]
 fetch is done when every block of both feeds is stored. --wait begins when standard input ends,
 --stay goes on running`, 2)
const net = require('net')
const hyperdrive = require('hyperdrive')
const { connect, flat, promised, size } = require('./archives')

const [mode, store] = a._
const options = { live: true, encrypt: true }
const quiet = () => {} // the other side ends the connection when it is done

function join (archive, socket) {
  socket.setNoDelay(true)
  connect(socket, archive.replicate(options), quiet)
}

async function seed () {
  const archive = hyperdrive(flat(store), { latest: false })
  await promised(cb => archive._ensureContent(cb))
  const server = net.createServer(socket => join(archive, socket))
  server.listen(a.port || 0, '127.0.0.1', () => say('seeding', {
    key: archive.key.toString('hex'), port: server.address().port, ...size(archive)
  }))
}

const whole = feed => new Promise(resolve => {
  const look = () => feed.length && feed.downloaded() === feed.length && resolve()
  feed.on('sync', look)
  look()
})

async function fetch () {
  const archive = hyperdrive(flat(store), a.key, { latest: false })
  await promised(cb => archive.ready(cb))
  say('ready')
  if (a.wait) await new Promise(resolve => process.stdin.on('end', resolve).resume())
  const start = process.hrtime.bigint()
  join(archive, net.connect(a.port, '127.0.0.1'))
  await promised(cb => archive._ensureContent(cb))
  await Promise.all([whole(archive.metadata), whole(archive.content)])
  const seconds = Number(process.hrtime.bigint() - start) / 1e9
  // What is here is on record only then. `close` does not wait for the bits of the last blocks.
  for (const feed of [archive.metadata, archive.content]) await promised(cb => feed._sync(null, cb))
  await promised(cb => archive.close(cb))
  say('fetched', { seconds, ...size(archive) })
  if (a.stay) setInterval(quiet, 60000)
  else end(0)
}
(mode === 'seed' ? seed() : fetch()).catch(fatal)
