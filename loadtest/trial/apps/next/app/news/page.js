// Incremental static regeneration: made again behind an answer when it is older than five seconds.
import { made } from '../made.js'

export const revalidate = 5

export default async function News () {
  const n = made('/news')
  await new Promise(resolve => setTimeout(resolve, 800))
  return <><h1>News</h1><p id="made">{n}</p></>
}
