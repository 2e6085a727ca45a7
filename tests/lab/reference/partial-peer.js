'use strict'
// A peer that is not whole: it holds a part of the blocks, or spoils some, or promises and keeps still.
// It listens for plain TCP and speaks the original's protocol. The store is copied into memory first.
const { args, say, fatal } = require('./lib')
const a = args(`partial-peer.js STORE [--port P] [--host 127.0.0.1] [--exit S]
   [--hold K --of N]         hold only the content blocks whose number leaves K when divided by N
   [--corrupt all|I,J,...]   flip a bit in these content blocks each time they are served
   [--silent]                claim every block and answer no request for content
 STORE is a folder of make-archive.js; all of the metadata is held and true`, 1)
const net = require('net')
const hyperdrive = require('hyperdrive')
const { connect, copyOf, promised, size } = require('./archives')

const matching = text => {
  if (text === undefined) return () => false
  const chosen = new Set(String(text).split(',').map(Number))
  return text === 'all' ? () => true : index => chosen.has(index)
}

function corrupt (feed, chosen) {
  const honest = feed._getBuffer // what the protocol reads from to serve a request
  feed._getBuffer = (index, cb) => honest.call(feed, index, (err, block) => {
    if (err || !block.length || !chosen(index)) return cb(err, block)
    const spoilt = Buffer.from(block)
    spoilt[0] ^= 1
    say('corrupted', { block: index })
    cb(null, spoilt)
  })
}

async function main () {
  const archive = hyperdrive(copyOf(a._[0]), { latest: false })
  await promised(cb => archive._ensureContent(cb))
  const feed = archive.content
  for (let i = 0; a.of && i < feed.length; i++) {
    if (i % a.of !== a.hold) await promised(cb => feed.clear(i, i + 1, cb))
  }
  corrupt(feed, matching(a.corrupt))
  if (a.silent) feed.proof = index => say('unanswered', { block: index })
  feed.on('upload', index => say('uploaded', { block: index }))
  const server = net.createServer(socket => {
    say('connection', { host: socket.remoteAddress, port: socket.remotePort })
    socket.on('close', () => say('closed'))
    const stream = archive.replicate({ live: true, encrypt: true, download: false })
    connect(socket, stream, e => say('stream-error', { message: e.message }))
  })
  server.listen(a.port || 0, a.host || '127.0.0.1', () => say('seeding', {
    key: archive.key.toString('hex'),
    discoveryKey: archive.discoveryKey.toString('hex'),
    port: server.address().port,
    held: feed.downloaded(),
    ...size(archive)
  }))
}
main().catch(fatal)
