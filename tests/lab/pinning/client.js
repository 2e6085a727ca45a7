// Runs dat-pinning-service-client: `client.js URL CALLS`, where CALLS is a JSON list of calls
// ["method", argument, …], made one after the other. Each is told of in a line: what came, or the error.
const { createClient } = require('dat-pinning-service-client')

const [url, calls] = process.argv.slice(2)

function tell (fields) {
  process.stdout.write(JSON.stringify({ event: 'answer', ...fields }) + '\n')
}

createClient(url, (failed, client) => {
  if (failed) throw failed
  function next ([call, ...rest]) {
    if (!call) return
    const [method, ...given] = call
    if (method === 'setSession') {
      client.setSession(given[0])
      return next(rest)
    }
    client[method](...given, (error, result) => {
      if (error) tell({ method, error: error.message, status: error.statusCode, body: error.responseBody })
      else tell({ method, result })
      next(rest)
    })
  }
  next(JSON.parse(calls))
})
