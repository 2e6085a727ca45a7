'use strict'
// dat-ignore as the judge of ignore rules. Reads one JSON object from the file it is given:
//   {"cases": [{"dir": FOLDER, "options": {}, "paths": ["a/b", ...]}, ...]}
// and says for each case which paths are ignored.
const fs = require('fs')
const path = require('path')
const { say } = require('./lib')
const datIgnore = require('dat-ignore')

const { cases } = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
cases.forEach(({ dir, options, paths }, number) => {
  let ignored
  try {
    const ignore = datIgnore(dir, options)
    ignored = paths.map(p => ignore(path.join(dir, p)))
  } catch (error) {
    return say('failed', { number, error: String(error) })
  }
  say('judged', { number, ignored })
})
say('done', { cases: cases.length })
