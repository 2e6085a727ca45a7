'use strict'
// The original as the writer of an archive that lies in a folder of the layout `flat`.
const { args, say, fatal, end } = require('./lib')
const a = args(`change-folder.js FOLDER NAME[=TEXT]...
 puts TEXT at NAME, or deletes NAME where there is no text`, 2)
const hyperdrive = require('hyperdrive')
const { flat, promised } = require('./archives')

async function main () {
  const [folder, ...changes] = a._
  const archive = hyperdrive(flat(folder), { latest: false })
  await promised(cb => archive._ensureContent(cb))
  for (const change of changes) {
    const [name, ...text] = change.split('=')
    if (text.length) await promised(cb => archive.writeFile(name, text.join('='), cb))
    else await promised(cb => archive.unlink(name, cb))
  }
  await promised(cb => archive.close(cb))
  say('changed', { version: archive.version })
}
main().then(() => end(0), fatal)
