/// Many timers that are mostly cancelled: O(1) to set and to cancel, 8 ms fine.
///
/// A timer is a number that its owner keeps; it fires once with the `data` it was set with. Pure: time comes in.
public struct TimerWheel {
  /// Names one setting of a timer; a stale one cancels nothing.
  public struct Token: Equatable, Sendable {
    var index: Int32 = -1
    var serial: UInt32 = 0
    /// No timer.
    public static let none = Token()
  }

  private struct Entry {
    var due: Int64 = 0
    var data: UInt64 = 0
    var serial: UInt32 = 0
    var next: Int32 = -1
    var previous: Int32 = -1
    var slot: Int32 = -1
  }

  private static let slots = 512
  /// Nanoseconds of one tick.
  public static let tick: Int64 = 8_000_000

  private var heads = [Int32](repeating: -1, count: slots)
  private var entries: [Entry] = []
  private var free: Int32 = -1
  private var current: Int64
  public private(set) var count = 0

  public init(now: Int64) { current = now / Self.tick }

  /// Sets a timer that fires at or soon after `deadline` (nanoseconds of the monotonic clock).
  public mutating func set(at deadline: Int64, data: UInt64) -> Token {
    let due = max((deadline + Self.tick - 1) / Self.tick, current + 1)
    let index: Int32
    if free >= 0 {
      index = free
      free = entries[Int(index)].next
    } else {
      index = Int32(entries.count)
      entries.append(Entry())
    }
    let slot = Int(due % Int64(Self.slots))
    let place = Int(index)
    entries[place].due = due
    entries[place].data = data
    entries[place].serial &+= 1
    entries[place].slot = Int32(slot)
    entries[place].previous = -1
    entries[place].next = heads[slot]
    if heads[slot] >= 0 { entries[Int(heads[slot])].previous = index }
    heads[slot] = index
    count += 1
    return Token(index: index, serial: entries[place].serial)
  }

  /// Cancels; does nothing for one that fired or was cancelled.
  public mutating func cancel(_ token: inout Token) {
    let index = Int(token.index)
    if index >= 0, index < entries.count, entries[index].serial == token.serial, entries[index].slot >= 0 {
      remove(index)
    }
    token = .none
  }

  private mutating func remove(_ index: Int) {
    let entry = entries[index]
    if entry.previous >= 0 {
      entries[Int(entry.previous)].next = entry.next
    } else {
      heads[Int(entry.slot)] = entry.next
    }
    if entry.next >= 0 { entries[Int(entry.next)].previous = entry.previous }
    entries[index].slot = -1
    entries[index].next = free
    free = Int32(index)
    count -= 1
  }

  /// Takes the timers that are due at `now` and appends their data in no order.
  public mutating func advance(to now: Int64, into due: inout [UInt64]) {
    let target = now / Self.tick
    guard target > current else { return }
    let steps = min(target - current, Int64(Self.slots))
    for step in 1...steps {
      // After a long sleep every slot is looked at once; what is due in any of them is found by its own time.
      var index = heads[Int((current + step) % Int64(Self.slots))]
      while index >= 0 {
        let entry = entries[Int(index)]
        let next = entry.next
        if entry.due <= target {
          due.append(entry.data)
          remove(Int(index))
        }
        index = next
      }
    }
    current = target
  }

  /// Milliseconds until the next tick matters: a bound for waiting, -1 when no timer is set.
  public func wait(now: Int64) -> Int32 {
    guard count > 0 else { return -1 }
    var step: Int64 = 1
    while step < Int64(Self.slots), heads[Int((current + step) % Int64(Self.slots))] < 0 { step += 1 }
    let due = (current + step) * Self.tick
    return Int32(max(0, (due - now + 999_999) / 1_000_000))
  }
}
