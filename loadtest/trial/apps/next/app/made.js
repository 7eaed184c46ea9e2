// made counts how often a page was rendered, in one place for the whole process.
export function made (path) {
  const counts = globalThis.trialMade ||= {}
  return counts[path] = (counts[path] || 0) + 1
}

export function counts () {
  return globalThis.trialMade || {}
}
