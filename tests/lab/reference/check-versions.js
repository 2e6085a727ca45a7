'use strict'
// What the original sees in folders of the layout `flat` at every version: files with their
// SHA-256, folders by name. Of long histories only the last versions.
const { args, say, fatal, end } = require('./lib')
const a = args(`check-versions.js FOLDER... [--most 80] [--last 3]
 opens them as the original would, so hand over copies when they must stay untouched`, 1)
const path = require('path')
const hyperdrive = require('hyperdrive')
const { flat, promised, sha256 } = require('./archives')

async function list (drive, folder, found) {
  for (const name of (await promised(cb => drive.readdir(folder, cb))).sort()) {
    const full = path.posix.join(folder, name)
    const stat = await promised(cb => drive.stat(full, cb))
    // A path that is both shows as a file and is listed as a folder.
    if (stat.isDirectory()) found.folders.push(full)
    else found.files[full] = stat.size ? sha256(await promised(cb => drive.readFile(full, cb))) : sha256('')
    await list(drive, full, found)
  }
  return found
}

async function main () {
  for (const folder of a._) {
    const archive = hyperdrive(flat(folder), { latest: false })
    await promised(cb => archive._ensureContent(cb))
    const newest = archive.version
    const oldest = newest > (a.most || 80) ? newest - (a.last || 3) + 1 : 1
    for (let version = oldest; version <= newest; version++) {
      const drive = archive.checkout(version)
      await promised(cb => drive._ensureContent(cb))
      say('version', { folder, version, ...await list(drive, '/', { files: {}, folders: [] }) })
    }
    say('checked', { folder, version: newest, writable: archive.writable })
  }
}
main().then(() => end(0), fatal)
