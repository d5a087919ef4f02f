internal import Synchronization

/// The last requests of one loop, in a ring. The loop writes, anybody reads.
///
/// The lock is free nearly always: a reader holds it for some microseconds, once per question.
final class RequestJournal: Sendable {
  static let capacity = 10_000

  private struct Ring {
    let records: UnsafeMutablePointer<RequestRecord>
    /// A hash of each record's id, so that a search looks at 80 kB and not at megabytes.
    let hashes: UnsafeMutablePointer<UInt64>
    var written = 0
  }

  private let ring: Mutex<Ring>

  init() {
    ring = Mutex(
      Ring(
        records: .allocate(capacity: Self.capacity), hashes: .allocate(capacity: Self.capacity)))
  }

  deinit {
    ring.withLock {
      $0.records.deallocate()
      $0.hashes.deallocate()
    }
  }

  /// Remembers a request; the oldest one is forgotten. Allocates nothing.
  func note(_ record: RequestRecord) {
    ring.withLock { ring in
      let place = ring.written % Self.capacity
      (ring.records + place).initialize(to: record)
      ring.hashes[place] = Self.hash(record.identifier, Int(record.identifierCount))
      ring.written &+= 1
    }
  }

  /// The newest request with this id.
  func find(_ id: String) -> RequestRecord? {
    let bytes = Array(id.utf8)
    guard (1...64).contains(bytes.count) else { return nil }
    var identifier: InlineArray<64, UInt8> = .init(repeating: 0)
    for (index, byte) in bytes.enumerated() { identifier[index] = byte }
    let hash = Self.hash(identifier, bytes.count)
    return ring.withLock { ring in
      let count = min(ring.written, Self.capacity)
      for age in 1...max(count, 1) where age <= count {
        let place = (ring.written - age) % Self.capacity
        if ring.hashes[place] == hash, Self.equal(ring.records + place, identifier, bytes.count) {
          return ring.records[place]
        }
      }
      return nil
    }
  }

  private static func equal(
    _ record: UnsafeMutablePointer<RequestRecord>, _ identifier: InlineArray<64, UInt8>, _ count: Int
  ) -> Bool {
    guard Int(record.pointee.identifierCount) == count else { return false }
    for index in 0..<count where record.pointee.identifier[index] != identifier[index] { return false }
    return true
  }

  private static func hash(_ identifier: InlineArray<64, UInt8>, _ count: Int) -> UInt64 {
    var hash = UInt64(truncatingIfNeeded: count) &+ 0xcbf2_9ce4_8422_2325
    for index in 0..<count { hash = (hash ^ UInt64(identifier[index])) &* 0x100_0000_01b3 }
    return hash
  }
}
