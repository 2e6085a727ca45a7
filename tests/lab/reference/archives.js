'use strict'
// Whole archives for the runners: where their files lie, what is in them, when they are complete.
const crypto = require('crypto')
const fs = require('fs')
const path = require('path')
const raf = require('random-access-file')
const ram = require('random-access-memory')

const place = open => ({
  metadata: name => open('metadata.' + name),
  content: name => open('content.' + name)
})

// The layout `flat`: six files of each feed side by side in one folder.
exports.flat = dir => place(name => raf(path.join(dir, name)))

// The same folder read into memory: whatever is done to the archive, the folder stays as it is.
exports.copyOf = dir => place(name => {
  const file = path.join(dir, name)
  return ram(fs.existsSync(file) ? fs.readFileSync(file) : undefined)
})

// A socket and a protocol stream that end together, whichever ends first and why.
exports.connect = function (socket, stream, onerror) {
  stream.on('error', onerror)
  socket.on('error', onerror)
  stream.on('close', () => socket.destroy())
  socket.on('close', () => stream.destroy())
  socket.pipe(stream).pipe(socket)
}

// Files below a folder, as archive names, in one order on every machine.
exports.walk = function walk (dir, prefix = '/') {
  const entries = fs.readdirSync(dir, { withFileTypes: true }).sort((a, b) => a.name < b.name ? -1 : 1)
  return [].concat(...entries.map(e => e.isDirectory()
    ? walk(path.join(dir, e.name), prefix + e.name + '/')
    : [prefix + e.name]))
}

exports.promised = call => new Promise((resolve, reject) =>
  call((err, value) => err ? reject(err) : resolve(value)))

// One file into an archive, in blocks of a size of our choice.
exports.put = (archive, name, bytes, blockSize) => new Promise((resolve, reject) => {
  const out = archive.createWriteStream(name)
  out.on('error', reject)
  out.on('finish', resolve)
  let at = 0
  const more = () => {
    while (at < bytes.length) {
      at += blockSize
      if (!out.write(bytes.slice(at - blockSize, at))) return out.once('drain', more)
    }
    out.end()
  }
  more()
})

exports.sha256 = bytes => crypto.createHash('sha256').update(bytes).digest('hex')

// Blocks and bytes of both feeds together.
exports.size = archive => ({
  blocks: archive.metadata.length + archive.content.length,
  bytes: archive.metadata.byteLength + archive.content.byteLength
})
