'use strict'
// A peer that replicates an archive through a WebSocket, as browsers do with dat-gateway: hyperdrive's own
// stream in binary messages whose borders mean nothing. One JSON object a line on stdout.
const { args, say, end } = require('./lib')
const a = args('websocket-peer.js URL --key K [--token T]   clone K in memory, tell the hashes of its files', 1)
const crypto = require('crypto')
const http = require('http')
const hyperdrive = require('hyperdrive')
const ram = require('random-access-memory')
const { Duplex } = require('stream')

// RFC 6455, the part a client needs: masked binary messages out, whatever comes in.
function frame (data, kind) {
  const mask = crypto.randomBytes(4)
  const long = data.length > 65535
  const head = Buffer.alloc(data.length < 126 ? 2 : long ? 10 : 4)
  head[0] = 0x80 | kind
  head[1] = 0x80 | (data.length < 126 ? data.length : long ? 127 : 126)
  if (long) head.writeUIntBE(data.length, 4, 6)
  else if (data.length > 125) head.writeUInt16BE(data.length, 2)
  const masked = Buffer.from(data)
  for (let i = 0; i < masked.length; i++) masked[i] ^= mask[i & 3]
  return Buffer.concat([head, mask, masked])
}

const headers = {
  Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13,
  'Sec-WebSocket-Key': crypto.randomBytes(16).toString('base64')
}
if (a.token) headers.Authorization = 'Bearer ' + a.token
const request = http.request(a._[0].replace(/^ws/, 'http'), { headers })
request.on('response', res => { say('refused', { status: res.statusCode }); end(1) })
request.on('upgrade', (res, socket, first) => {
  say('open', { extensions: res.headers['sec-websocket-extensions'] || null })
  let unread = first
  const stream = new Duplex({
    read () {},
    write (data, _, done) { socket.write(frame(data, 2), done) }
  })
  const take = data => {
    unread = Buffer.concat([unread, data])
    while (unread.length >= 2) {
      let length = unread[1] & 127
      let at = 2
      if (length === 126) { if (unread.length < 4) return; length = unread.readUInt16BE(2); at = 4 }
      if (length === 127) { if (unread.length < 10) return; length = unread.readUIntBE(4, 6); at = 10 }
      if (unread.length < at + length) return
      const body = unread.slice(at, at + length)
      const kind = unread[0] & 15
      unread = unread.slice(at + length)
      if (kind === 2 || kind === 0) stream.push(body)
      else if (kind === 9) socket.write(frame(body, 10))
      else if (kind === 8) { say('closed'); stream.push(null) }
    }
  }
  socket.on('data', take)
  socket.on('close', () => stream.push(null))
  take(Buffer.alloc(0))
  const archive = hyperdrive(() => ram(), a.key)
  archive.on('ready', () => {
    stream.pipe(archive.replicate({ live: true })).pipe(stream)
    archive.metadata.update(err => {
      if (err) throw err
      archive.readdir('/', (err, names) => {
        if (err) throw err
        const files = {}
        let left = names.length
        names.forEach(name => archive.readFile('/' + name, (err, data) => {
          if (err) throw err
          files['/' + name] = crypto.createHash('sha256').update(data).digest('hex')
          if (--left === 0) say('cloned', { files })
        }))
      })
    })
  })
})
request.end()
