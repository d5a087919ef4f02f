import FoundationEssentials
import HTTPModel
import HTTPTransport
import Sandboxing
import Synchronization

/// A container engine behind its unix socket: Docker, or what speaks its API.
///
/// Every call takes a connection of its own and ends within its timeout; cancelling the task ends it at once. Nothing is
/// tried twice. The version of the API is agreed on with the first call, and anew after the engine could not be reached.
public final class EngineClient: Sendable {
  /// Path of the socket.
  public let socket: String
  /// Longest silence of the engine in a call that has nothing to wait for.
  public let timeout: Duration
  private let agreed = Mutex<EngineVersion?>(nil)

  public init(socket: String, timeout: Duration = .seconds(30)) {
    self.socket = socket
    self.timeout = timeout
  }

  /// The oldest version with all that is used here (Docker 20.10), and the newest that is known to mean the same by it.
  public static let versions = EngineVersion(1, 40)...EngineVersion(1, 51)

  /// Asks whether the engine is there and which version it speaks.
  @discardableResult
  public func ping(timeout: Duration = .seconds(5)) async throws(EngineError) -> EnginePing {
    let answer = try await exchange("GET", "/_ping", timeout: timeout)
    guard answer.status == 200 else { throw EngineError(answer, doing: "ping", socket: socket) }
    let offered = answer.header("api-version").flatMap(EngineVersion.init) ?? Self.versions.lowerBound
    let isPodman = answer.header("libpod-api-version") != nil
    guard offered >= Self.versions.lowerBound else {
      throw EngineError(
        .tooOld,
        "the engine at \(socket) speaks version \(offered) of its API, at least \(Self.versions.lowerBound) is needed: update it (Docker 20.10 or later)"
      )
    }
    agreed.withLock { $0 = min(offered, Self.versions.upperBound) }
    return EnginePing(version: min(offered, Self.versions.upperBound), isPodman: isPodman)
  }

  public func info() async throws(EngineError) -> EngineInfo {
    try await get("/info", as: EngineInfo.self, doing: "info")
  }

  // MARK: Calls

  func get<Value: Decodable & Sendable>(
    _ path: String, _ query: [(String, String)] = [], as type: Value.Type, doing: StaticString,
    headers: [(String, String)] = []
  ) async throws(EngineError) -> Value {
    try await call("GET", path, query, headers: headers, doing: doing).decoded(type, socket: socket)
  }

  /// An answer of the 2xx, or one of `accepting`; anything else is thrown.
  @discardableResult
  func call(
    _ method: String, _ path: String, _ query: [(String, String)] = [],
    body: (any Encodable & Sendable)? = nil,
    headers: [(String, String)] = [], accepting: Set<Int> = [], doing: StaticString, waiting: Duration = .zero
  ) async throws(EngineError) -> EngineAnswer {
    let target = try await versioned(path, query)
    var sent: [UInt8] = []
    if let body {
      do { sent = Array(try JSONEncoder().encode(body)) } catch {
        throw EngineError(.malformed, "a request to the engine can't be encoded: \(error)")
      }
    }
    let answer = try await exchange(method, target, body: sent, headers: headers, timeout: timeout + waiting)
    guard (200..<300).contains(answer.status) || accepting.contains(answer.status) else {
      throw EngineError(answer, doing: "\(doing)", socket: socket)
    }
    return answer
  }

  /// Gives the body of an answer in parts as they come, until it ends, the closure returns false or the task is cancelled.
  func stream(
    _ method: String, _ path: String, _ query: [(String, String)] = [], headers: [(String, String)] = [],
    doing: StaticString, silence: Duration, onBody: @escaping @Sendable (ArraySlice<UInt8>) -> Bool
  ) async throws(EngineError) {
    let target = try await versioned(path, query)
    let refusal = Mutex<[UInt8]>([])
    let status = Mutex(0)
    let answer = try await exchange(method, target, headers: headers, timeout: silence) { response in
      status.withLock { $0 = response.status }
    } onBody: { part in
      guard status.withLock({ $0 }) != 200 else { return onBody(part) }
      refusal.withLock { $0.append(contentsOf: part) }
      return true
    }
    guard answer.status != 200 else { return }
    let refused = EngineAnswer(
      status: answer.status, headers: answer.headers, body: refusal.withLock { $0 })
    throw EngineError(refused, doing: "\(doing)", socket: socket)
  }

  private func versioned(_ path: String, _ query: [(String, String)]) async throws(EngineError) -> String {
    var version = agreed.withLock { $0 }
    if version == nil { version = try await ping().version }
    var target = "/v\(version ?? Self.versions.lowerBound)\(path)"
    if !query.isEmpty {
      target += "?" + query.map { "\($0.0)=\(EngineEscaping.query($0.1))" }.joined(separator: "&")
    }
    return target
  }

  private func exchange(
    _ method: String, _ target: String, body: [UInt8] = [], headers: [(String, String)] = [],
    timeout: Duration, head: (@Sendable (HTTPResponse) -> Void)? = nil,
    onBody: (@Sendable (ArraySlice<UInt8>) -> Bool)? = nil
  ) async throws(EngineError) -> EngineAnswer {
    var sent = headers.map { (name: $0.0, value: $0.1) }
    if !body.isEmpty { sent.append(("content-type", "application/json")) }
    let request = HTTPRequest(method: method, target: target, headers: sent, body: body)
    let client = HTTPClient(socket: socket, timeout: timeout)
    let cancellation = HTTPCancellation()
    let result = await withTaskCancellationHandler {
      await offload { () -> Result<EngineAnswer, HTTPClientError> in
        Self.ask(client, request, cancellation, head, onBody)
      }
    } onCancel: {
      cancellation.cancel()
    }
    switch result {
    case .success(let answer): return answer
    case .failure(let error):
      if cancellation.isCancelled { throw EngineError(.cancelled, "the call to the engine was cancelled") }
      if error.kind == .unreachable { agreed.withLock { $0 = nil } }
      throw EngineError(error, socket: socket, timeout: timeout)
    }
  }

  /// Blocks.
  private static func ask(
    _ client: HTTPClient, _ request: HTTPRequest, _ cancellation: HTTPCancellation,
    _ head: (@Sendable (HTTPResponse) -> Void)?, _ onBody: (@Sendable (ArraySlice<UInt8>) -> Bool)?
  ) -> Result<EngineAnswer, HTTPClientError> {
    var collected: [UInt8] = []
    do throws(HTTPClientError) {
      let response = try client.stream(
        request, cancellation: cancellation, head: { head?($0) },
        onBody: { part in
          if let onBody { return onBody(part) }
          collected.append(contentsOf: part)
          return true
        })
      return .success(EngineAnswer(status: response.status, headers: response.headers, body: collected))
    } catch {
      // Whoever reads a stream may have enough of it.
      if error.kind == .stopped, onBody != nil, !cancellation.isCancelled {
        return .success(EngineAnswer(status: 200, headers: [], body: []))
      }
      return .failure(error)
    }
  }
}

/// A version of the Engine API: `1.41`.
public struct EngineVersion: Sendable, Comparable, CustomStringConvertible {
  public var major: Int
  public var minor: Int

  public init(_ major: Int, _ minor: Int) {
    self.major = major
    self.minor = minor
  }

  public init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let major = parts[0], let minor = parts[1] else { return nil }
    self.init(major, minor)
  }

  public var description: String { "\(major).\(minor)" }

  public static func < (left: Self, right: Self) -> Bool {
    (left.major, left.minor) < (right.major, right.minor)
  }
}

/// What a ping tells.
public struct EnginePing: Sendable, Equatable {
  /// That is used from now on.
  public var version: EngineVersion
  public var isPodman: Bool
}

/// A whole answer of the engine.
struct EngineAnswer: Sendable {
  var status: Int
  var headers: [(name: String, value: String)]
  var body: [UInt8]

  func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name }?.value }

  func decoded<Value: Decodable>(_ type: Value.Type, socket: String) throws(EngineError) -> Value {
    do { return try JSONDecoder().decode(type, from: Data(body)) } catch {
      throw EngineError(.malformed, "the engine at \(socket) gave an answer that can't be read: \(error)")
    }
  }
}

/// Percent-encoding of what stands in targets.
enum EngineEscaping {
  static func query(_ text: String) -> String { escape(text, keeping: "-._~") }
  /// Names of images have slashes and colons that must stay.
  static func path(_ text: String) -> String { escape(text, keeping: "-._~/:@") }

  private static func escape(_ text: String, keeping kept: String) -> String {
    var result = ""
    let digits = Array("0123456789ABCDEF".unicodeScalars)
    for byte in text.utf8 {
      let scalar = Unicode.Scalar(byte)
      let isPlain =
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        || (byte < 0x80 && kept.unicodeScalars.contains(scalar))
      if isPlain {
        result.unicodeScalars.append(scalar)
      } else {
        result.unicodeScalars.append("%")
        result.unicodeScalars.append(digits[Int(byte >> 4)])
        result.unicodeScalars.append(digits[Int(byte & 15)])
      }
    }
    return result
  }
}
