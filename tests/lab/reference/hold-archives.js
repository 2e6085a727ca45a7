'use strict'
// Archives of the layout `flat` opened and held, all of one process: what that takes.
const { args, say, fatal } = require('./lib')
const a = args('hold-archives.js DIR ...   (says `held` with seconds once all are open, then stays)', 1)
const hyperdrive = require('hyperdrive')
const { flat, promised } = require('./archives')

async function main () {
  const start = process.hrtime()
  const held = []
  for (const dir of a._) {
    const archive = hyperdrive(flat(dir))
    await promised(done => archive.ready(done))
    await promised(done => archive.readdir('/', done)) // it opens its content when somebody reads
    held.push(archive)
  }
  const [seconds, rest] = process.hrtime(start)
  say('held', { archives: held.length, seconds: seconds + rest / 1e9 })
  setInterval(() => held.length, 60000)
}
main().catch(fatal)
