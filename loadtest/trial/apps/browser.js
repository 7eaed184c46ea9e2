// Two browsers of one Chromium at once, one logged in and one a guest; prints one JSON line for each page that was
// seen. Arguments: the address of WordPress and a user, whose password is its name.
'use strict'
const { chromium } = require('playwright-core')

const [base, user] = process.argv.slice(2)
const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync']

async function see (page, who, path) {
  const answer = await page.goto(base + path, { waitUntil: 'load' })
  // The document is there: what it does not hold now it will not hold later.
  const name = await page.evaluate(() => document.querySelector('#wpadminbar .display-name')?.textContent || 'guest')
  console.log(JSON.stringify({ who, path, status: answer.status(), name, cache: answer.headers()['cache-status'] || '' }))
}

async function main () {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args })
  try {
    const [member, guest] = await Promise.all([browser.newContext(), browser.newContext()])
    const [m, g] = await Promise.all([member.newPage(), guest.newPage()])
    await see(g, 'guest', '/long-read/')
    await see(m, 'guest', '/long-read/') // it is in this browser's own cache when the visitor has logged in
    await m.goto(base + '/wp-login.php')
    await m.fill('#user_login', user)
    await m.fill('#user_pass', user)
    await Promise.all([m.waitForURL(/wp-admin/), m.click('#wp-submit')])
    for (const path of ['/', '/long-read/', '/?s=read']) {
      await Promise.all([see(m, user, path), see(g, 'guest', path)])
    }
    await see(m, user, '/wp-admin/profile.php')
    await m.goto(base + '/long-read/')
    const href = await m.locator('#wp-admin-bar-logout a').getAttribute('href')
    await m.goto(href)
    for (const path of ['/', '/long-read/']) {
      await Promise.all([see(m, 'guest', path), see(g, 'guest', path)])
    }
  } finally {
    await browser.close()
  }
}

main().catch(err => { console.error(err); process.exit(1) })
