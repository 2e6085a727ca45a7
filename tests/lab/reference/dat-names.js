'use strict'
// What dat-dns makes of names, when every host lies at one port of loopback.
const fs = require('fs')
const https = require('https')
const { args, say } = require('./lib')
const a = args('dat-names.js PORT CA NAME... [--resolver HOST/PATH]', 3)
const [port, authority, ...names] = a._
const ca = fs.readFileSync(authority)
const get = https.get
https.get = (options, answered) => get({
  ...options,
  host: '127.0.0.1',
  port: Number(port),
  servername: options.host,
  headers: { ...options.headers, Host: options.host },
  ca,
  agent: false
}, answered)
const resolver = a.resolver && a.resolver.split('/')
const dns = require('dat-dns')({
  dnsHost: resolver && resolver[0],
  dnsPath: resolver && '/' + resolver[1],
  persistentCache: { write: (name, key, ttl) => say('kept', { name, key, ttl }), read: (_, error) => { throw error } }
})
const ask = name => dns.resolveName(name, { noDnsOverHttps: !resolver })
  .then(key => say('resolved', { name, key }), error => say('failed', { name, error: String(error) }))
names.reduce((before, name) => before.then(() => ask(name)), Promise.resolve()).then(() => say('end'))
