internal import Access
internal import CLinux
internal import Domain

/// Good verdicts about tokens, by the tokens' bytes. One per loop; a token falls out when another takes its place.
struct VerdictCache {
  /// A token that was found good.
  final class Verdict {
    let token: [UInt8]
    let principal: Principal
    /// When it was found good, by the wall clock.
    let judgedAt: Timestamp
    /// For which table `isRevoked` and `folder` hold.
    var generation: UInt64 = .max
    var isRevoked = false
    /// The folder that was last found to be granted.
    var folder = ""

    init(token: [UInt8], principal: Principal, at now: Timestamp) {
      judgedAt = now
      self.token = token
      self.principal = principal
    }
  }

  private var places = [Verdict?](repeating: nil, count: 1024)
  private let seed = UInt64.random(in: 0...UInt64.max)

  func find(_ token: UnsafePointer<UInt8>, _ count: Int) -> Verdict? {
    guard let verdict = places[place(token, count)], verdict.token.count == count else { return nil }
    let equal = verdict.token.withUnsafeBufferPointer { stored in
      stored.baseAddress.map { scan_equal_constant_time($0, token, count) != 0 } ?? false
    }
    return equal ? verdict : nil
  }

  mutating func keep(_ verdict: Verdict) {
    let place = verdict.token.withUnsafeBufferPointer { stored in
      stored.baseAddress.map { self.place($0, stored.count) } ?? 0
    }
    places[place] = verdict
  }

  mutating func drop(_ token: UnsafePointer<UInt8>, _ count: Int) { places[place(token, count)] = nil }

  /// The seed keeps callers from choosing tokens that push each other out.
  private func place(_ token: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var hash = seed
    var at = 0
    while at + 8 <= count {
      let word = UnsafeRawPointer(token + at).loadUnaligned(as: UInt64.self)
      hash = (hash ^ word) &* 0x9e37_79b9_7f4a_7c15
      hash ^= hash >> 29
      at &+= 8
    }
    while at < count {
      hash = (hash ^ UInt64(token[at])) &* 0x100_0000_01b3
      at &+= 1
    }
    return Int(truncatingIfNeeded: (hash ^ hash >> 32) & 1023)
  }
}
