import { cookies } from 'next/headers'
import { made } from '../made.js'

export default async function Account () {
  const n = made('/account')
  const name = (await cookies()).get('name')?.value || 'guest'
  await new Promise(resolve => setTimeout(resolve, 200))
  return <><h1>Account</h1><p id="who">{name}</p><p id="made">{n}</p></>
}
