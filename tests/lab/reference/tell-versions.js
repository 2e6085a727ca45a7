'use strict'
// What the original tells of the past of archives in folders of the layout `flat`: the history, the
// differences between versions, either way in time. The folders stay as they are.
const { args, say, fatal, end } = require('./lib')
const a = args(`tell-versions.js FOLDER... [--pairs 12]
 differences are of every version with the one before, and of this many others with the newest`, 1)
const hyperdrive = require('hyperdrive')
const { copyOf, promised } = require('./archives')

const collected = stream => new Promise((resolve, reject) => {
  const found = []
  stream.on('data', one => found.push({ type: one.type, path: one.name, version: one.version, size: one.value ? one.value.size : null }))
  stream.on('error', reject)
  stream.on('end', () => resolve(found))
})

async function main () {
  for (const folder of a._) {
    const archive = hyperdrive(copyOf(folder), { latest: false })
    await promised(cb => archive._ensureContent(cb))
    const newest = archive.version
    say('history', { folder, version: newest, changes: await collected(archive.history()) })
    const pairs = new Map()
    const step = Math.max(1, Math.ceil(newest / (a.pairs || 12)))
    for (let at = 0; at < newest; at += step) for (const pair of [[at, newest], [newest, at], [at, at + 1], [at + 1, at]]) pairs.set(pair.join(), pair)
    for (const [from, to] of pairs.values()) {
      const changes = await collected(archive.checkout(from).createDiffStream(to))
      say('diff', { folder, from, to, changes })
    }
    say('told', { folder })
  }
}
main().then(() => end(0), fatal)
