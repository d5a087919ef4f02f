internal import Synchronization
internal import Telemetry

/// Answers to the requests of one node and one path.
final class PathCounters: Sendable {
  let path: String
  private let codes: InlineArray<600, Atomic<Int>> = .init { _ in Atomic<Int>(0) }
  private let grpcCodes: InlineArray<17, Atomic<Int>> = .init { _ in Atomic<Int>(0) }
  let durations = Histogram()

  init(path: String) { self.path = path }

  func answered(status: Int, microseconds: Int) {
    codes[min(max(status, 0), 599)].wrappingAdd(1, ordering: .relaxed)
    durations.observe(microseconds: microseconds)
  }

  /// Counts the `grpc-status` of a call, beside its HTTP status.
  func answered(grpcStatus: Int) {
    let known = (0...16).contains(grpcStatus) ? grpcStatus : 2
    grpcCodes[known].wrappingAdd(1, ordering: .relaxed)
  }

  /// Answers by HTTP status, those that occurred.
  var answers: [(status: Int, count: Int)] {
    (0..<600).compactMap { status in
      let count = codes[status].load(ordering: .relaxed)
      return count > 0 ? (status, count) : nil
    }
  }

  /// Calls by gRPC status, those that occurred.
  var calls: [(status: Int, count: Int)] {
    (0..<17).compactMap { status in
      let count = grpcCodes[status].load(ordering: .relaxed)
      return count > 0 ? (status, count) : nil
    }
  }
}

/// The counters of a node or an alias by path. Callers choose the paths, so only the first ones have counters of their own.
final class NodePaths: Sendable {
  /// Paths with counters of their own; the others share one.
  static let limit = 32
  private static let maximumBytes = 128

  let execute: PathCounters
  private let rest = PathCounters(path: "other")
  private let named = Mutex<[PathCounters]>([])

  /// `execute` is the path of what is counted apart.
  init(execute: String) { self.execute = PathCounters(path: execute) }

  /// The counters of a path without its query. Takes a lock: loops keep what they were given, see `PathCache`.
  func find(_ base: UnsafePointer<UInt8>, _ count: Int) -> PathCounters {
    guard count <= Self.maximumBytes else { return rest }
    let bytes = UnsafeBufferPointer(start: base, count: count)
    return named.withLock { named in
      if let known = named.first(where: { $0.path.utf8.elementsEqual(bytes) }) { return known }
      // A path is a label's value: what is not plain ASCII is not shown.
      guard named.count < Self.limit, bytes.allSatisfy({ (0x21...0x7e).contains($0) }) else { return rest }
      let made = PathCounters(path: String(decoding: bytes, as: UTF8.self))
      named.append(made)
      return made
    }
  }

  /// All counters, those of `execute` first.
  var all: [PathCounters] { [execute] + named.withLock { $0 } + [rest] }
}

/// What one loop knows of the paths of one node, so that most requests take no lock.
struct PathCache {
  private var places = [(hash: UInt64, counters: PathCounters)?](repeating: nil, count: 64)

  mutating func find(_ base: UnsafePointer<UInt8>, _ count: Int, in paths: NodePaths) -> PathCounters {
    var end = 0
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    while end < count, base[end] != 0x3f {
      hash = (hash ^ UInt64(base[end])) &* 0x100_0000_01b3
      end &+= 1
    }
    let place = Int(truncatingIfNeeded: (hash ^ hash >> 32) & 63)
    if let known = places[place], known.hash == hash { return known.counters }
    let counters = paths.find(base, end)
    places[place] = (hash, counters)
    return counters
  }
}
