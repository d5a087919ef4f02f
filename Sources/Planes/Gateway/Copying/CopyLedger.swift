internal import Synchronization
internal import Telemetry

/// Bytes that copies of requests and answers take in all loops together.
final class CopyLedger: Sendable {
  /// What does not fit is not copied: requests themselves never wait for room.
  static let mostBytes = 64 << 20

  private let used = Atomic<Int>(0)

  func take(_ count: Int) -> Bool {
    guard used.wrappingAdd(count, ordering: .relaxed).newValue <= Self.mostBytes else {
      used.wrappingSubtract(count, ordering: .relaxed)
      return false
    }
    return true
  }

  func giveBack(_ count: Int) { used.wrappingSubtract(count, ordering: .relaxed) }
}

/// The room of one copy, given back when nobody holds it any more.
final class CopyRoom: Sendable {
  private let ledger: CopyLedger
  private let count = Atomic<Int>(0)

  init(_ ledger: CopyLedger) { self.ledger = ledger }

  deinit { ledger.giveBack(count.load(ordering: .relaxed)) }

  func grow(by more: Int) -> Bool {
    guard ledger.take(more) else { return false }
    count.wrappingAdd(more, ordering: .relaxed)
    return true
  }
}

/// What became of the copies of an alias' requests, for one purpose.
final class CopyCounters: Sendable {
  let taken = Counter()
  let tooLarge = Counter()
  let overMemory = Counter()
  let notCopyable = Counter()
  let unanswered = Counter()
}
