// kafkajs behind the common driver interface. gzip is its own; the other codecs are added here, as its manual says.

const fs = require('fs')
const { Kafka, CompressionCodecs, CompressionTypes, logLevel } = require('kafkajs')

const FILLER = 'the quick brown fox jumps over the lazy dog and runs away from the hounds of the old mill by the river'
const BATCH = 200
const CODECS = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }

async function addCodecs() {
  const lz4 = require('lz4-napi')
  const zstd = require('@bokuweb/zstd-wasm')
  await zstd.init()
  CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: async encoder => lz4.compressFrame(encoder.buffer),
    decompress: async buffer => lz4.decompressFrame(buffer),
  })
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async encoder => Buffer.from(zstd.compress(encoder.buffer)),
    decompress: async buffer => Buffer.from(zstd.decompress(buffer)),
  })
}

// Written at once, so that what was printed survives a SIGKILL.
function print(text) {
  fs.writeSync(1, text)
}

const say = line => print(JSON.stringify(line) + '\n')
const sleep = milliseconds => new Promise(wake => setTimeout(wake, milliseconds))

async function create(kafka, options) {
  const admin = kafka.admin()
  await admin.connect()
  const numPartitions = Number(options.partitions)
  await admin.createTopics({ topics: options.topics.map(topic => ({ topic, numPartitions, replicationFactor: 1 })) })
  await admin.disconnect()
}

async function produce(kafka, options) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const [first, end] = [Number(options.first), Number(options.first) + Number(options.records)]
  for (let from = first; from < end; from += 1000) {
    const messages = []
    for (let number = from; number < Math.min(from + 1000, end); number++) {
      const value = `${options.seed}:${number}:${Math.floor(number / 1000)}:${FILLER.slice(0, number % 100)}`
      messages.push({ key: `k${number % 1000}`, value, headers: { seed: options.seed, none: '' } })
    }
    await producer.send({ topic: options.topics[0], acks: -1, compression: CODECS[options.codec], messages })
  }
  await producer.disconnect()
  say({ produced: end - first })
}

async function consume(kafka, options) {
  const consumer = kafka.consumer({ groupId: options.group, sessionTimeout: 6000, heartbeatInterval: 1000, maxWaitTimeInMs: 200 })
  let stopped = false
  process.on('SIGTERM', async () => {
    stopped = true
    await consumer.disconnect()
    process.exit(0)
  })
  say({ pid: process.pid })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    const places = Object.entries(payload.memberAssignment)
    say({ assigned: places.flatMap(([topic, partitions]) => partitions.map(partition => `${topic}/${partition}`)) })
  })
  const pace = { rate: Number(options.rate || 0), began: 0, count: 0 }
  await consumer.connect()
  await consumer.subscribe({ topics: options.topics, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async given => {
      const { topic, partition, messages } = given.batch
      for (let at = 0; at < messages.length && !stopped && given.isRunning() && !given.isStale(); at += BATCH) {
        await take(consumer, given, topic, partition, messages.slice(at, at + BATCH))
        await hold(pace, Math.min(BATCH, messages.length - at), () => stopped)
        await given.heartbeat()
      }
    },
  })
}

async function take(consumer, given, topic, partition, messages) {
  const text = bytes => (bytes === null || bytes === undefined ? null : bytes.toString())
  const lines = messages.map(({ offset, key, value, headers }) => {
    const pairs = Object.entries(headers).map(([name, bytes]) => [name, text(bytes)])
    return JSON.stringify([topic, partition, Number(offset), text(key), text(value), pairs]) + '\n'
  })
  const last = messages[messages.length - 1].offset
  const next = Number(last) + 1
  print(lines.join(''))
  given.resolveOffset(last)
  say({ committing: { [`${topic}/${partition}`]: next } })
  await consumer.commitOffsets([{ topic, partition, offset: String(next) }])
  say({ committed: { [`${topic}/${partition}`]: next } })
}

async function hold(pace, records, isStopped) {
  if (!pace.count) pace.began = Date.now()
  pace.count += records
  const ahead = pace.rate ? (pace.count * 1000) / pace.rate - (Date.now() - pace.began) : 0
  if (ahead > 0 && !isStopped()) await sleep(Math.min(ahead, 1000))
}

async function main() {
  const [command, ...rest] = process.argv.slice(2)
  const options = {}
  for (let i = 0; i + 1 < rest.length; i += 2) options[rest[i].slice(2)] = rest[i + 1]
  options.topics = options.topics.split(',')
  await addCodecs()
  const kafka = new Kafka({ clientId: 'driver', brokers: [options.bootstrap], logLevel: logLevel.ERROR })
  await { create, produce, consume }[command](kafka, options)
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
