'use strict'
// What the original sees in a folder of the layout `flat`: every file with its SHA-256.
const { args, say, fatal, end } = require('./lib')
const a = args(`check-folder.js FOLDER [--version N]
 opens it as the original would, so hand over a copy when FOLDER must stay untouched`, 1)
const path = require('path')
const hyperdrive = require('hyperdrive')
const { flat, promised, sha256, size } = require('./archives')

async function list (drive, folder) {
  const found = []
  for (const name of (await promised(cb => drive.readdir(folder, cb))).sort()) {
    const full = path.posix.join(folder, name)
    const stat = await promised(cb => drive.stat(full, cb))
    if (stat.isDirectory()) found.push(...await list(drive, full))
    else found.push(await describe(drive, full, stat))
  }
  return found
}

async function describe (drive, name, stat) {
  const file = { name, size: stat.size, mode: stat.mode }
  const feed = drive.content
  const held = feed.downloaded(stat.offset, stat.offset + stat.blocks)
  // Reading a block that is not here would wait for a peer for ever.
  if (held < stat.blocks) return { ...file, missing: stat.blocks - held }
  return { ...file, sha256: sha256(stat.size ? await promised(cb => drive.readFile(name, cb)) : '') }
}

async function main () {
  const archive = hyperdrive(flat(a._[0]), { latest: false })
  await promised(cb => archive._ensureContent(cb))
  const drive = a.version ? archive.checkout(a.version) : archive
  if (a.version) await promised(cb => drive._ensureContent(cb))
  say('checked', {
    key: archive.key.toString('hex'),
    writable: archive.writable,
    version: archive.version,
    ...size(archive),
    files: await list(drive, '/')
  })
}
main().then(() => end(0), fatal)
