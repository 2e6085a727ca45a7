'use strict'
// A folder made into an archive that keeps every version, in the layout `flat`, keys included.
const { args, say, fatal } = require('./lib')
const a = args(`make-archive.js FOLDER STORE [--block BYTES]
 FOLDER's files are cut into blocks of 65536 or BYTES bytes; STORE is made`, 2)
const fs = require('fs')
const path = require('path')
const hyperdrive = require('hyperdrive')
const { flat, walk, put, promised, size } = require('./archives')

async function main () {
  const [folder, store] = a._
  const archive = hyperdrive(flat(store), { latest: false })
  await promised(cb => archive.ready(cb))
  for (const name of walk(folder)) {
    await put(archive, name, fs.readFileSync(path.join(folder, name)), a.block || 65536)
  }
  const made = {
    key: archive.key.toString('hex'),
    discoveryKey: archive.discoveryKey.toString('hex'),
    version: archive.version,
    ...size(archive)
  }
  // Who hears of it may read its files at once.
  await promised(cb => archive.close(cb))
  say('made', made)
}
main().catch(fatal)
