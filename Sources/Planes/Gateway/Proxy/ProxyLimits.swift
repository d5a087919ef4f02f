internal import Domain
internal import Planning
internal import Synchronization

/// Rates of a node's requests over all loops: for each bucket the time at which it will be full again.
final class ProxyRates: Sendable {
  private let all = Atomic<Int64>(0)
  private let callers = Mutex<[String: Int64]>([:])
  private static let mostCallers = 10_000

  /// Takes one request of all callers together at a monotonic time; nil, or the seconds to wait.
  func take(_ limit: RateLimit, _ now: Int64) -> Int? {
    var seen = all.load(ordering: .relaxed)
    while true {
      let (next, wait) = Self.next(limit, seen, now)
      if let wait { return wait }
      let (won, other) = all.compareExchange(expected: seen, desired: next, ordering: .relaxed)
      if won { return nil }
      seen = other
    }
  }

  /// The same for one caller.
  func take(_ limit: RateLimit, _ now: Int64, caller: String) -> Int? {
    callers.withLock { callers in
      let (next, wait) = Self.next(limit, callers[caller] ?? 0, now)
      if let wait { return wait }
      if callers.count >= Self.mostCallers { callers = callers.filter { $0.value > now } }
      callers[caller] = next
      return nil
    }
  }

  private static func next(_ limit: RateLimit, _ seen: Int64, _ now: Int64) -> (next: Int64, wait: Int?) {
    switch TokenBucket.take(limit, fullAt: seen, now: now) {
    case .taken(let fullAt): (fullAt, nil)
    case .refused(let wait): (seen, TokenBucket.seconds(wait))
    }
  }
}

/// What a node's proxying asks for, in plain numbers: looked at several times per request. Nanoseconds; 0: no limit.
struct ProxyPlan {
  var connect: Int64 = 0
  var firstByte: Int64 = 0
  var idle: Int64 = 0
  var total: Int64 = 0
  var queueAge: Int64 = 0
  var slowStart: Int64 = 0
  var passesCredentials = false
  /// The node's own folder is in its ACL: a request need not name one.
  var allowsOwnFolder = false

  init() {}

  init(_ routed: RoutedNode) {
    func nanoseconds(_ milliseconds: UInt32) -> Int64 { Int64(milliseconds) * 1_000_000 }
    connect = nanoseconds(routed.proxying.connectTimeoutMilliseconds)
    firstByte = nanoseconds(routed.proxying.firstByteTimeoutMilliseconds)
    idle = nanoseconds(routed.proxying.idleTimeoutMilliseconds)
    total = nanoseconds(routed.timeoutMilliseconds)
    queueAge = nanoseconds(routed.queueAgeMilliseconds)
    slowStart = nanoseconds(routed.proxying.slowStartMilliseconds)
    passesCredentials = routed.proxying.passCredentials
    allowsOwnFolder = routed.acl.contains(routed.folderID)
  }
}

/// How many requests of a node one loop may send again: a fifth of those that come, and a few at any time.
struct RetryBudget {
  private static let most = 20.0
  private var balance = most

  mutating func earn() { balance = min(balance + 0.2, Self.most) }

  mutating func spend() -> Bool {
    guard balance >= 1 else { return false }
    balance -= 1
    return true
  }
}
