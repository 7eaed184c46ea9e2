// Judges the results of the suite's client with the suite's own function, the one
// that its page calls, and prints one JSON object for each test that the page
// would show for a cache that is no browser's.
//
//	node judge.mjs SUITE RESULTS
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [suite, resultsFile] = process.argv.slice(2)
const load = async file => await import(pathToFileURL(path.resolve(suite, file)))
const exists = file => fs.existsSync(path.resolve(suite, file))

// The editions keep the function, and a list of tests that is not part of the
// whole, in different places.
const judgeFile = ['test-engine/lib/results.mjs', 'lib/display.mjs'].find(exists)
const { determineTestResult } = await load(judgeFile)
const lists = [...(await load('tests/index.mjs')).default]
const apart = 'tests/surrogate-control.mjs'
if (exists(apart)) lists.push((await load(apart)).default)

// What the page shows for each outcome is the only thing that tells them apart.
const verdicts = {
  '✅': 'pass',
  '⛔️': 'fail',
  '⚠️': 'fail',
  Y: 'yes',
  N: 'no',
  '🔹': 'setup',
  '⁉️': 'harness',
  '⚪️': 'dependency',
  '↻': 'retry',
  '-': 'untested'
}

const results = JSON.parse(fs.readFileSync(resultsFile, 'utf8'))
for (const list of lists) {
  for (const test of list.tests) {
    if (test.browser_only === true) continue
    const shown = determineTestResult(lists, test.id, results)[2]
    if (!(shown in verdicts)) throw new Error(`the suite shows ${shown} for ${test.id}, which is not known here`)
    const result = results[test.id]
    console.log(JSON.stringify({
      id: test.id,
      list: list.id,
      name: test.name,
      kind: test.kind ?? 'required',
      verdict: verdicts[shown],
      message: Array.isArray(result) ? result.join(': ') : '',
      dependsOn: test.depends_on ?? []
    }))
  }
}
