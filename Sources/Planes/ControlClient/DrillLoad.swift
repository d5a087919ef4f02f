public import Domain
internal import HTTPTransport
internal import Wire

/// What clients of an alias do in a drill.
public struct DrillOrder: Sendable {
  public var alias: AliasResource
  /// Folder that calls.
  public var folder: String
  /// Of an alias of cells: the input of each request.
  public var input: JSONTree?
  /// Of an alias of servers: what is got.
  public var path: String
  /// Of an alias of servers: an answer that goes on; nil: none is asked for.
  public var streamPath: String?
  /// Of an alias of servers: WebSockets that stay open; nil: none are asked for.
  public var webSocketPath: String?
  /// Of each kind.
  public var clients: Int
  public var pause: Duration
  public var timeout: Duration

  public init(
    alias: AliasResource, folder: String, input: JSONTree?, path: String, streamPath: String?,
    webSocketPath: String? = nil, clients: Int, pause: Duration, timeout: Duration
  ) {
    self.alias = alias
    self.folder = folder
    self.input = input
    self.path = path
    self.streamPath = streamPath
    self.webSocketPath = webSocketPath
    self.clients = clients
    self.pause = pause
    self.timeout = timeout
  }
}

/// What became of one request of a drill.
public struct DrillAnswer: Sendable, Equatable {
  /// `HTTP/1.1`, `HTTP/2`, `gRPC`, `stream` or `WebSocket`.
  public var form: String
  /// Goes on for as long as the server likes: how long it took says nothing, and it ends with its instance.
  public var isLasting: Bool { form == "stream" || form == "WebSocket" }
  public var requestID: String
  /// Monotonic nanoseconds.
  public var began: Int64
  public var ended: Int64
  /// 0: no answer came.
  public var status: Int
  /// Why it counts as lost; nil: all was well.
  public var failure: String?
  public var wasResent: Bool

  public init(
    form: String, requestID: String, began: Int64, ended: Int64, status: Int, failure: String? = nil,
    wasResent: Bool = false
  ) {
    self.form = form
    self.requestID = requestID
    self.began = began
    self.ended = ended
    self.status = status
    self.failure = failure
    self.wasResent = wasResent
  }
}

/// Clients of an alias: bounded in number, each with one request under way at most.
public final class DrillLoad: Sendable {
  private let generator: LoadGenerator

  fileprivate init(_ generator: LoadGenerator) { self.generator = generator }

  /// Monotonic nanoseconds.
  public static func now() -> Int64 { LoadGenerator.now() }

  /// What ended since the last call.
  public func take() -> [DrillAnswer] {
    generator.take().map {
      DrillAnswer(
        form: $0.form.rawValue, requestID: $0.requestID, began: $0.began, ended: $0.ended, status: $0.status,
        failure: $0.failure, wasResent: $0.wasResent)
    }
  }

  /// Makes no more requests; returns when those under way have ended. Streams are left, WebSockets closed.
  public func stop() { generator.stop() }
}

extension ControlClient {
  /// Begins to make the requests of a drill. Their ids are `prefix` and a number.
  public func load(_ order: DrillOrder, prefix: String) async throws(ClientError) -> DrillLoad {
    let server = try ServerAddress(url)
    var host = server.host
    if host == "localhost" { host = "127.0.0.1" }
    if !host.allSatisfy({ $0.isNumber || $0 == "." }), !host.contains(":") {
      let found = await ProbeClient.resolve(host, timeout: .seconds(10))
      guard let first = found?.first else {
        throw ClientError(.unreachable, "the host '\(host)' has no address")
      }
      host = first
    }
    let address = host.contains(":") ? "[\(host)]:\(server.port)" : "\(host):\(server.port)"
    let common = "host: \(server.host):\(server.port)\r\n\(credentials)idempotency-key: \(prefix)\r\n"
    var plans: [LoadPlan] = []
    if let input = order.input {
      let body = JSONTree.object([.init("folder_id", .string(order.folder)), .init("input", input)])
      let head =
        "POST \(order.alias.executePath) HTTP/1.1\r\n\(common)content-type: application/json\r\n"
      for form in [LoadPlan.Form.http1, .http2] {
        plans.append(
          LoadPlan(
            form, head: head, body: Array(body.compact.utf8), workers: order.clients, pause: order.pause))
      }
      plans.append(
        LoadPlan(
          .grpc,
          head:
            "POST /yandex.cloud.datasphere.v1.NodeService/ExecuteAlias HTTP/1.1\r\n\(common)content-type: application/grpc\r\nte: trailers\r\n",
          body: try message(order, input), workers: order.clients, pause: order.pause))
    } else {
      let routed = "\(common)x-node-alias: \(order.alias.name)\r\nx-folder-id: \(order.folder)\r\n"
      for form in [LoadPlan.Form.http1, .http2] {
        plans.append(
          LoadPlan(
            form, head: "GET \(order.path) HTTP/1.1\r\n\(routed)", workers: order.clients, pause: order.pause)
        )
      }
      if let path = order.streamPath {
        plans.append(
          LoadPlan(
            .stream, head: "GET \(path) HTTP/1.1\r\n\(routed)accept: text/event-stream\r\n",
            workers: order.clients, pause: order.pause))
      }
      if let path = order.webSocketPath {
        plans.append(
          LoadPlan(
            .webSocket, head: "GET \(path) HTTP/1.1\r\n\(routed)", workers: order.clients,
            pause: order.pause))
      }
    }
    return DrillLoad(
      LoadGenerator(address: address, plans: plans, prefix: prefix, timeout: order.timeout))
  }

  /// An `AliasExecutionRequest`.
  private func message(_ order: DrillOrder, _ input: JSONTree) throws(ClientError) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.string(1, order.folder)
    writer.string(2, order.alias.name)
    do throws(ProtobufError) {
      writer.bytes(3, try DynamicValue.encoded(.object, json: Array(input.compact.utf8), path: "input"))
    } catch { throw ClientError(.malformed, "\(error)") }
    return writer.bytes
  }
}
