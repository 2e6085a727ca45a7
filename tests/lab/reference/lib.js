'use strict'
// shared bits of the runner scripts: arguments, JSON lines on stdout, tidy endings
const minimist = require('minimist')

exports.args = function (usage, min) {
  const a = minimist(process.argv.slice(2), { string: ['_', 'key', 'corrupt', 'dns', 'dht', 'host', 'id', 'announce', 'lookup', 'bootstrap', 'server'] })
  if (a.help || a._.length < (min || 0)) {
    console.error('usage: node ' + usage)
    process.exit(2)
  }
  if (a.exit) setTimeout(() => process.exit(a.exitcode || 3), a.exit * 1000).unref()
  return a
}

exports.say = function (event, more) {
  process.stdout.write(JSON.stringify(Object.assign({ event, t: Date.now() }, more)) + '\n')
}

// A reader that is slow leaves the pipe full, and process.exit() drops what is still queued.
exports.end = function (code) {
  process.stdout.write('', () => process.exit(code))
}

exports.fatal = function (err) {
  exports.say('fatal', { message: err.message, stack: err.stack })
  exports.end(1)
}

for (const s of ['SIGTERM', 'SIGINT']) process.on(s, () => process.exit(0))
