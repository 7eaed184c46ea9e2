import { counts } from '../made.js'

export const dynamic = 'force-dynamic'

export async function GET () {
  return Response.json(counts())
}
