// A small shop with sessions, as Express makes it by default: an ETag on every answer, no Cache-Control, and pages that
// take 800 ms. Every page says who it is for. Environment: PORT, VIDEO (a file).
'use strict'
const crypto = require('node:crypto')
const fs = require('node:fs')
const express = require('express')
const session = require('express-session')
const multer = require('multer')

const app = express()
// Otherwise /Cart and /cart/ are /cart too, and a policy for /cart would have to name them all.
app.enable('case sensitive routing')
app.enable('strict routing')
const rendered = {} // by path: how often a page was made
const delay = Number(process.env.DELAY || 800)
const wait = ms => new Promise(resolve => setTimeout(resolve, ms))

// The trial's own door; it does not lead through weir.
app.get('/-/count', (req, res) => res.json(rendered))

app.use('/video.mp4', (req, res) => res.sendFile(process.env.VIDEO))

app.use(session({ secret: 'trial', resave: false, saveUninitialized: false }))
app.use(express.urlencoded({ extended: false }))

function page (res, title, fields) {
  const lines = Object.entries(fields).map(([id, text]) => `<p id="${id}">${text}</p>`)
  res.send(`<!doctype html><title>${title}</title>\n<h1>${title}</h1>\n${lines.join('\n')}\n`)
}

function personal (req) {
  const fields = { who: req.session.name || 'guest' }
  if (req.session.name) {
    fields.private = req.session.csrf
  }
  return fields
}

function get (path, title, fields, header) {
  app.get(path, async (req, res) => {
    rendered[path] = (rendered[path] || 0) + 1
    const made = rendered[path]
    await wait(delay)
    if (header) res.set(header(req))
    page(res, title, { ...fields(req), made })
  })
}

get('/', 'Home', personal)
get('/account', 'Account', personal)
// The same with what applications often say beside it: must be validated; last changed; fresh, and here is a cookie.
get('/inbox', 'Inbox', personal, () => ({ 'Cache-Control': 'no-cache' }))
get('/orders', 'Orders', personal, () => ({ 'Last-Modified': 'Mon, 02 Jan 2006 15:04:05 GMT' }))
get('/offer', 'Offer', () => ({ text: 'the same for everybody, but for the cookie' }), () => ({
  'Cache-Control': 'max-age=60', 'Set-Cookie': `seen=${crypto.randomUUID()}; Path=/offer`
}))
get('/news', 'News', () => ({ text: 'the same for everybody' }))
// Whoever looks into the cart gets one, guests as well.
get('/cart', 'Cart', req => {
  req.session.cart ||= crypto.randomUUID()
  return { ...personal(req), private: req.session.cart }
})

app.get('/login', (req, res) => res.send('<form method="post"><input name="name"></form>'))
app.post('/login', (req, res, next) => {
  req.session.regenerate(err => {
    if (err) return next(err)
    req.session.name = String(req.body.name)
    req.session.csrf = crypto.randomUUID()
    res.redirect(303, '/account')
  })
})
app.post('/logout', (req, res, next) => {
  req.session.destroy(err => {
    if (err) return next(err)
    res.clearCookie('connect.sid').redirect(303, '/')
  })
})

// One event at once; the next when somebody posts to the stream's name.
const streams = new Map()
app.get('/api/events/:name', (req, res) => {
  res.set('Content-Type', 'text/event-stream').flushHeaders()
  let n = 0
  const send = () => res.write(`data: ${req.params.name} ${n++}\n\n`)
  streams.set(req.params.name, send)
  req.on('close', () => streams.delete(req.params.name))
  send()
})
app.post('/api/events/:name', (req, res) => {
  const send = streams.get(req.params.name)
  if (send) send()
  res.sendStatus(send ? 204 : 404)
})

// A long poll: the answer comes when somebody posts it for the visitor of this name.
const polls = new Map()
app.get('/api/poll', (req, res) => polls.set(req.session.name, text => res.json({ who: req.session.name, text })))
app.post('/api/poll/:name', (req, res) => {
  const answer = polls.get(req.params.name)
  if (!answer) return res.sendStatus(404)
  polls.delete(req.params.name)
  answer(crypto.randomUUID())
  res.sendStatus(204)
})

const upload = multer({ storage: multer.memoryStorage() })
app.post('/api/upload', upload.single('file'), (req, res) => {
  const sha256 = crypto.createHash('sha256').update(req.file.buffer).digest('hex')
  res.json({ who: req.session.name, size: req.file.size, sha256 })
})

if (!fs.existsSync(process.env.VIDEO)) throw new Error('VIDEO names no file')
app.listen(Number(process.env.PORT), '127.0.0.1')
