internal import Contract
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Wire

/// A call that goes on for as long as the client wants: of health's Watch, or of reflection.
final class StreamedCall {
  enum Kind {
    case watch
    /// Of this version.
    case reflection(String)
  }

  let kind: Kind
  /// Who calls; nil without a token. Nodes are shown only to those who may call them.
  let caller: Result<VerdictCache.Verdict?, Refusal>
  var decoder: GRPCMessageDecoder
  var reflection: Reflection?
  /// What is watched, once it was said.
  var service: String?
  var told: HealthMessages.Serving?

  init(_ kind: Kind, _ caller: Result<VerdictCache.Verdict?, Refusal>, _ encoding: GRPCEncoding) {
    self.kind = kind
    self.caller = caller
    decoder = GRPCMessageDecoder(limit: 65536, encoding: encoding)
  }
}

/// Health and reflection, answered from the loop's table.
extension GatewayLoop {
  /// The caller of a call that needs no token: an error only for a token that is not accepted.
  func seer(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) -> Result<VerdictCache.Verdict?, Refusal> {
    guard exchange.head.authorization != -1 else { return .success(nil) }
    do throws(Refusal) { return .success(try authenticate(exchange, fields)) } catch {
      return .failure(error)
    }
  }

  private func sees(_ caller: VerdictCache.Verdict?, _ node: LoopNode) -> Bool {
    caller.map { mayCallQuietly($0, node.entry) } ?? false
  }

  // MARK: Streams

  func begin(
    _ kind: StreamedCall.Kind, _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) {
    do throws(GRPCFault) {
      let call = StreamedCall(kind, seer(exchange, fields), try encoding(exchange, fields))
      if case .failure(let refusal) = call.caller { return answer(exchange, refusal) }
      streamedCalls[exchange.key] = call
    } catch { answer(exchange, Refusal(error)) }
  }

  func callPart(_ exchange: HTTPExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard let call = streamedCalls[exchange.key] else { return }
    call.decoder.feed(UnsafeBufferPointer(start: bytes, count: count))
    answerMessages(call, exchange)
  }

  /// Bytes of answers that wait for the client, beyond which its further questions wait too.
  private static let mostUnread = 65_536

  private func answerMessages(_ call: StreamedCall, _ exchange: HTTPExchange) {
    do throws(GRPCFault) {
      while !exchange.isFull, let message = try call.decoder.next() {
        take(message, call, exchange)
        guard streamedCalls[exchange.key] === call else { return }
        if exchange.output.count > Self.mostUnread { server.awaitRoom(exchange) }
      }
      exchange.isFull ? server.pause(exchange) : server.resume(exchange)
    } catch { end(exchange, Refusal(error)) }
  }

  /// The client has taken answers; false: it is no such call.
  func goOnAnswering(_ exchange: HTTPExchange) -> Bool {
    guard let call = streamedCalls[exchange.key] else { return false }
    answerMessages(call, exchange)
    return true
  }

  /// The caller keeps its side open and has said nothing for long.
  func callStalled(_ exchange: HTTPExchange) {
    guard streamedCalls[exchange.key] != nil else { return }
    end(exchange, Refusal(.deadlineExceeded, "no message came for long; call again"))
  }

  func callEnded(_ exchange: HTTPExchange) {
    guard let call = streamedCalls[exchange.key] else { return }
    do throws(GRPCFault) { try call.decoder.finish() } catch { return end(exchange, Refusal(error)) }
    // Who watches has said all with the one message, and goes on to listen.
    if case .watch = call.kind {
      if call.service == nil { end(exchange, Refusal(GRPCFault.notOne(0))) }
      return
    }
    beginMessages(exchange)
    streamedCalls.removeValue(forKey: exchange.key)
    endCall(exchange)
  }

  private func take(_ message: [UInt8], _ call: StreamedCall, _ exchange: HTTPExchange) {
    let caller = try? call.caller.get()
    switch call.kind {
    case .watch:
      guard call.service == nil else { return end(exchange, Refusal(GRPCFault.notOne(2))) }
      guard let service = HealthMessages.service(message) else { return end(exchange, Self.unreadable) }
      call.service = service
      tell(call, exchange)
    case .reflection:
      // The files are those of the moment the client began: its questions build on each other.
      let reflection = call.reflection ?? Reflection(files: visibleFiles(caller ?? nil))
      call.reflection = reflection
      guard let answer = reflection.answer(message) else { return end(exchange, Self.unreadable) }
      beginMessages(exchange)
      send(exchange, answer)
    }
  }

  private static var unreadable: Refusal {
    Refusal(.invalidArgument, "the message is not the one of this method")
  }

  private func beginMessages(_ exchange: HTTPExchange) {
    guard !exchange.hasBegun else { return }
    server.begin(exchange, status: 200)
    exchange.output.append("content-type: application/grpc\r\n")
    server.endHead(exchange)
  }

  private func end(_ exchange: HTTPExchange, _ refusal: Refusal) {
    streamedCalls.removeValue(forKey: exchange.key)
    if exchange.hasBegun { endCall(exchange, refusal) } else { answer(exchange, refusal) }
  }

  /// The platform's files, and those of the nodes that the caller may call.
  private func visibleFiles(_ caller: VerdictCache.Verdict?) -> [ProtoFile] {
    ProtoFile.served + nodes.compactMap { sees(caller, $0) ? $0.entry.proto : nil }
  }

  // MARK: Health

  /// How a service is; nil for one that there is not, or not for this caller.
  private func health(_ service: String, _ caller: VerdictCache.Verdict?) -> HealthMessages.Serving? {
    if service.isEmpty || Self.platformServices.contains(service) { return .serving }
    let places = table?.services[service] ?? []
    var named = places.map { nodes[$0] }
    if named.isEmpty { named = nodes.filter { $0.shared.id == service } }
    let visible = named.filter { sees(caller, $0) }
    guard !visible.isEmpty else { return nil }
    let healthy = visible.contains { $0.entry.routed.refusal == nil && !$0.entry.instances.isEmpty }
    return healthy ? .serving : .notServing
  }

  private static let platformServices = Set(ProtoFile.served.flatMap(\.serviceNames))

  func check(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ body: UnsafePointer<UInt8>,
    _ count: Int
  ) {
    do throws(Refusal) {
      let caller = try seer(exchange, fields).get()
      let message: [UInt8]
      do throws(GRPCFault) {
        message = try GRPCMessageDecoder.unary(UnsafeBufferPointer(start: body, count: count), limit: 65536)
      } catch { throw Refusal(error) }
      guard let service = HealthMessages.service(message) else { throw Self.unreadable }
      guard let status = health(service, caller) else {
        throw Refusal(
          .notFound, "service: there is no service or node '\(service.prefix(100))' that this caller may see")
      }
      beginMessages(exchange)
      send(exchange, HealthMessages.response(status))
      endCall(exchange)
    } catch { answer(exchange, error) }
  }

  /// Tells a watcher how its service is, unless it knows.
  private func tell(_ call: StreamedCall, _ exchange: HTTPExchange) {
    guard let service = call.service else { return }
    let caller = try? call.caller.get()
    let status = health(service, caller ?? nil) ?? .serviceUnknown
    guard call.told != status else { return }
    call.told = status
    beginMessages(exchange)
    send(exchange, HealthMessages.response(status))
  }

  /// The table has changed.
  func tellWatchers() {
    for (key, call) in streamedCalls {
      if let exchange = server.exchange(key) { tell(call, exchange) }
    }
  }

  /// The server drains: those who watch are told to look elsewhere.
  func endStreamedCalls() {
    for key in Array(streamedCalls.keys) {
      guard let exchange = server.exchange(key) else { continue }
      end(exchange, Refusal(.unavailable, "the server is shutting down", origin: .platform))
    }
    streamedCalls.removeAll()
  }
}
