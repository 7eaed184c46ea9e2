export async function POST (request) {
  const form = await request.formData()
  const headers = new Headers({ Location: '/account' })
  headers.append('Set-Cookie', `name=${form.get('name')}; Path=/; HttpOnly`)
  return new Response(null, { status: 303, headers })
}
