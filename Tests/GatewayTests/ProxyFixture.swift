import Domain
import Gateway
import Glibc
import HTTPModel
import Reactor
import Telemetry
import Testing

extension GatewayFixture {
  /// Publishes a table with the one node, whose instances are at these addresses.
  func publish(
    addresses: [String], _ wireProtocol: Endpoint.WireProtocol = .http1, generation: UInt64 = 1,
    timeout: UInt32 = 0,
    queueLimit: Int = 1000, queueAge: UInt32 = 15000, limit: Int = 100,
    proxying: RoutedProxying = RoutedProxying(),
    rateLimit: RateLimit? = nil, callerRateLimit: RateLimit? = nil, refusal: String? = nil
  ) {
    let instances = addresses.enumerated().map { index, address in
      RoutedInstance(
        id: InstanceID("ins0000000000000000\(index)") ?? .random(),
        endpoint: Endpoint(address: address, wireProtocol: wireProtocol), limit: limit)
    }
    let routed = RoutedNode(
      id: node, name: "n", release: 1, folderID: Self.folder, acl: [Self.folder], refusal: refusal,
      timeoutMilliseconds: timeout, queueLimit: queueLimit, queueAgeMilliseconds: queueAge,
      proxying: proxying,
      rateLimit: rateLimit, callerRateLimit: callerRateLimit, instances: instances)
    server.publish(
      RoutingTable(
        generation: generation, nodes: [routed],
        grants: [RoutedGrant(subject: "alice", folderID: Self.folder)]))
  }

  /// A request for the node by header.
  func request(
    _ method: String = "GET", _ target: String = "/", headers: [(name: String, value: String)] = [],
    body: [UInt8] = []
  ) async throws -> HTTPResponse {
    try await send(
      HTTPRequest(
        method: method, target: target,
        headers: [
          (name: "authorization", value: "Bearer \(Self.good)"), (name: "x-node-id", value: node.text),
          (name: "x-folder-id", value: Self.folder.text),
        ] + headers, body: body))
  }

  /// The lines that a raw request for the node needs.
  var rawHeaders: String { "host: h\r\nauthorization: Bearer \(Self.good)\r\nx-node-id: \(node)\r\n" }

  func metric(_ name: String) -> Int {
    let text = String(decoding: metrics.text(), as: UTF8.self)
    let line = text.split(separator: "\n").first { $0.hasPrefix(name + "{") || $0.hasPrefix(name + " ") }
    return line.flatMap { $0.split(separator: " ").last }.flatMap { Int($0) } ?? -1
  }

  /// The time to drain of instances that left is over.
  func endStreams() {
    for index in 0..<2 {
      if let id = InstanceID("ins0000000000000000\(index)") { server.endStreams(on: id) }
    }
  }

  /// Nothing of any request is left: no place is taken, nobody waits.
  func settled() async {
    await eventually {
      metric("roost_gateway_in_flight_requests") == 0 && metric("roost_gateway_queue_length") == 0
    }
  }
}

/// What a program printed, and its exit code.
func run(_ arguments: [String]) async -> (text: String, code: Int32) {
  await withCheckedContinuation { continuation in
    let thread = LoopThread(name: "program") {
      let path = TestProcess.folder() + "/out"
      let line = arguments.map { "'" + $0.replacing("'", with: "'\\''") + "'" }.joined(separator: " ")
      let code = system("\(line) > \(path) 2>&1")
      var text = ""
      if let file = fopen(path, "r") {
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&buffer, 1, buffer.count, file)
        fclose(file)
        text = String(decoding: buffer[0..<count], as: UTF8.self)
      }
      TestProcess.removeFolder(String(path.dropLast(4)))
      continuation.resume(returning: (text, code >> 8))
    }
    thread?.detach()
    if thread == nil { continuation.resume(returning: ("no thread", -1)) }
  }
}
