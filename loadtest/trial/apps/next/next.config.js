module.exports = { poweredByHeader: true }
