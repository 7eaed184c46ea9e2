export async function POST () {
  return new Response(null, { status: 303, headers: { Location: '/news', 'Set-Cookie': 'name=; Path=/; Max-Age=0' } })
}
