/// What was seen of a node in the last ten minutes, in slots of a quarter of a second.
struct ScalingHistory: Sendable, Equatable {
  static let slotsPerSecond = 4
  private static let capacity = 600 * slotsPerSecond

  /// What one sample adds.
  struct Entry: Sendable, Equatable {
    var running = 0.0
    var queued = 0.0
    /// Since the sample before it, which was `seconds` ago.
    var arrived = 0.0
    var answered = 0.0
    var seconds = 0.0
    var cpuSeconds: Double?
    var gauge: Double?
  }

  /// Samples added up.
  struct Sum: Sendable, Equatable {
    var samples = 0
    var running = 0.0
    var queued = 0.0
    var arrived = 0.0
    var answered = 0.0
    var seconds = 0.0
    var cpuSeconds = 0.0
    /// The part of `seconds` for which the processor time is known.
    var cpuKnownSeconds = 0.0
    var gauge = 0.0
    var gauges = 0

    mutating func add(_ entry: Entry) {
      samples += 1
      running += entry.running
      queued += entry.queued
      arrived += entry.arrived
      answered += entry.answered
      seconds += entry.seconds
      if let spent = entry.cpuSeconds {
        cpuSeconds += spent
        cpuKnownSeconds += entry.seconds
      }
      if let value = entry.gauge {
        gauge += value
        gauges += 1
      }
    }

    mutating func add(_ other: Sum) {
      samples += other.samples
      running += other.running
      queued += other.queued
      arrived += other.arrived
      answered += other.answered
      seconds += other.seconds
      cpuSeconds += other.cpuSeconds
      cpuKnownSeconds += other.cpuKnownSeconds
      gauge += other.gauge
      gauges += other.gauges
    }
  }

  private struct Slot: Sendable, Equatable {
    var number: Int64 = -1
    var sum = Sum()
    /// The most instances that were needed.
    var need = 0
  }

  private var ring = [Slot](repeating: Slot(), count: capacity)

  mutating func add(_ entry: Entry, at time: Duration) { ring[place(at: time)].sum.add(entry) }

  /// Notes how many instances the load of this moment needs.
  mutating func need(_ count: Int, at time: Duration) {
    let place = place(at: time)
    ring[place].need = max(ring[place].need, count)
  }

  private static func number(_ time: Duration) -> Int64 {
    time.components.seconds * Int64(slotsPerSecond)
      + time.components.attoseconds / (1_000_000_000_000_000_000 / Int64(slotsPerSecond))
  }

  private mutating func place(at time: Duration) -> Int {
    let number = Self.number(time)
    let place = Int(number % Int64(Self.capacity))
    if ring[place].number != number { ring[place] = Slot(number: number) }
    return place
  }

  /// The samples of a window that ends now; of less where less is known.
  func sum(seconds: Int, until time: Duration) -> Sum {
    var sum = Sum()
    forEach(seconds, time) { sum.add($0.sum) }
    return sum
  }

  /// The most instances that were needed at any time of the window.
  func mostNeeded(seconds: Int, until time: Duration) -> Int {
    var most = 0
    forEach(seconds, time) { most = max(most, $0.need) }
    return most
  }

  private func forEach(_ seconds: Int, _ time: Duration, _ body: (Slot) -> Void) {
    let last = Self.number(time)
    for back in 0..<Int64(min(max(seconds, 1) * Self.slotsPerSecond, Self.capacity)) where last >= back {
      let slot = ring[Int((last - back) % Int64(Self.capacity))]
      if slot.number == last - back { body(slot) }
    }
  }
}
