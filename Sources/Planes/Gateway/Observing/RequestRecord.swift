internal import Domain
internal import Wire

/// What is remembered of a request that ended. Trivial, so that a ring of them costs no reference counting.
struct RequestRecord {
  enum Route: UInt8 {
    case unknown, execute, header, host, path

    var word: String? {
      switch self {
      case .unknown: nil
      case .execute: "execute"
      case .header: "header"
      case .host: "host"
      case .path: "path"
      }
    }
  }

  var identifier: InlineArray<64, UInt8> = .init(repeating: 0)
  var identifierCount: UInt8 = 0
  var route = Route.unknown
  var status: Int16 = 0
  var retries: UInt16 = 0
  var hasNode = false
  var hasInstance = false
  var node = NodeKey.none
  var instance = NodeKey.none
  var trace = TraceContext()
  /// Who sent it; nil: somebody over a unix socket.
  var peer: NetworkAddress?
  /// Microseconds since 1970, when the answer was ready.
  var endedAt: Int64 = 0
  /// In microseconds.
  var duration = 0
  var queued = 0
  var requestBytes = 0
  var responseBytes = 0

  var identifierText: String {
    String(unsafeUninitializedCapacity: 64) { buffer in
      for index in 0..<Int(identifierCount) { buffer[index] = identifier[index] }
      return Int(identifierCount)
    }
  }

  var arrivedAt: Int64 { endedAt - Int64(duration) }
  var upstream: Int { max(duration - queued, 0) }

  func resource(loop: Int) -> RequestResource {
    func seconds(_ microseconds: Int) -> Double { Double(microseconds) / 1e6 }
    return RequestResource(
      id: identifierText, traceId: trace.traceText, spanId: trace.spanText,
      arrivedAt: Timestamp(microseconds: arrivedAt), route: route.word,
      nodeId: hasNode ? NodeID(node.text) : nil, instanceId: hasInstance ? InstanceID(instance.text) : nil,
      status: Int(status), durationSeconds: seconds(duration), queueSeconds: seconds(min(queued, duration)),
      upstreamSeconds: seconds(upstream), retries: Int(retries), requestBytes: requestBytes,
      responseBytes: responseBytes, loop: loop)
  }
}

extension NodeKey {
  static let none = NodeKey(first: 0, second: 0, third: 0)

  private init(first: UInt64, second: UInt64, third: UInt32) {
    self.first = first
    self.second = second
    self.third = third
  }

  init?(_ text: String) {
    var text = text
    let key = text.withUTF8 { bytes in bytes.baseAddress.flatMap { NodeKey($0, bytes.count) } }
    guard let key else { return nil }
    self = key
  }

  var text: String {
    var copy = self
    return withUnsafeBytes(of: &copy) { String(decoding: $0.prefix(20), as: UTF8.self) }
  }
}
