'use strict'
// A folder imported the way `dat share` does it, and nothing else: for benchmarks. One JSON line.
const { args, say, fatal, end } = require('./lib')
const a = args(`import.js FOLDER
 FOLDER/.dat is made; \`imported\` tells the seconds from the call to the last entry`, 1)
const Dat = require('dat-node')

Dat(a._[0], { errorIfExists: true }, (err, dat) => {
  if (err) return fatal(err)
  const used = process.cpuUsage()
  const start = process.hrtime()
  dat.importFiles({ watch: false, dereference: true, ignoreHidden: true }, err => {
    if (err) return fatal(err)
    const [s, ns] = process.hrtime(start)
    const { user, system } = process.cpuUsage(used)
    say('imported', {
      seconds: s + ns / 1e9,
      cpu: (user + system) / 1e6,
      version: dat.archive.version,
      key: dat.key.toString('hex'),
      memory: process.resourceUsage ? process.resourceUsage().maxRSS * 1024 : process.memoryUsage().rss
    })
    dat.close(() => end(0))
  })
})
