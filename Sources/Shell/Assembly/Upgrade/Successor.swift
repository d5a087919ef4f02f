import Domain
import Gateway
import Glibc
import HTTPModel
import Sandboxing
import Storage
import Synchronization

/// The process that takes over from this one.
final class Successor: HTTPResponder {
  let binary: String
  let process: ProcessHandle
  private let channel: HandOverChannel
  private let signals: TerminationSignals
  private let deadline: ContinuousClock.Instant
  private let limit: Duration
  private let began = ContinuousClock.now
  private let known = Mutex((version: "", schema: 0))

  /// Starts the binary with the arguments, the environment and the folder of this process, its listening sockets and its lock.
  init(
    binary: String, within limit: Duration, gateway: GatewayServer, lock: Int32, signals: TerminationSignals,
    predecessor: Predecessor?
  ) throws(PlatformError) {
    self.binary = binary
    self.limit = limit
    self.signals = signals
    deadline = .now + limit
    let sockets = gateway.handedSockets
    do throws(SystemFailure) {
      let (here, there) = try Inheritance.connectedPair()
      var environment = Inheritance.environment
      environment["LISTEN_PID"] = nil
      environment["LISTEN_FDS"] = String(sockets.count)
      environment["LISTEN_FDNAMES"] = sockets.map(\.name).joined(separator: ":")
      environment[Arrival.variable] = "1"
      process = try SpawnRequest(
        executable: binary, arguments: Array(CommandLine.arguments.dropFirst()), environment: environment,
        descriptors: [0, 1, 2] + sockets.map(\.descriptor) + [there.descriptor, lock]
      ).start()
      channel = HandOverChannel(here) { message, channel in
        Self.serve(message, channel, gateway, predecessor)
      }
    } catch {
      throw PlatformError(
        .failedPrecondition, "\(error.description): is it an executable program?")
    }
  }

  /// What the other process asks while this one drains.
  private static func serve(
    _ message: HandOverMessage, _ channel: HandOverChannel, _ gateway: GatewayServer,
    _ predecessor: Predecessor?
  ) -> Bool {
    switch message {
    case .keep(let instances):
      let kept = Set(instances.compactMap { InstanceID($0) })
      gateway.keep(kept)
      predecessor?.keep(kept)
    case .endStreams(let instance):
      guard let id = InstanceID(instance) else { return true }
      gateway.endStreams(on: id)
      predecessor?.endStreams(on: id)
    case .outstanding(let ask, let instance):
      guard let id = InstanceID(instance) else { return true }
      let here = gateway.outstanding(on: id)
      guard let predecessor else {
        channel.send(.count(ask: ask, requests: here))
        return true
      }
      Task { channel.send(.count(ask: ask, requests: here + (await predecessor.outstanding(on: id)))) }
    default: return false
    }
    return true
  }

  // MARK: The hand-over

  /// The schema that it will bring the database to.
  var schema: Int { known.withLock { $0.schema } }
  var version: String { known.withLock { $0.version } }
  /// Since it was started.
  var seconds: Double { (ContinuousClock.now - began) / .seconds(1) }

  /// Waits until it has checked all that it can without the data folder.
  func prepared() async throws(PlatformError) {
    guard case .prepared(let version, let schema) = try await next("did not start") else { throw odd }
    guard schema >= Store.schema else {
      throw PlatformError(
        .failedPrecondition,
        "\(binary) is of an older roost: it knows version \(schema) of the database, which has version \(Store.schema) by now"
      )
    }
    known.withLock { $0 = (version, schema) }
  }

  /// Gives the data folder away and waits until its owner is ready and healthy.
  func take(healthy: Set<InstanceID>) async throws(PlatformError) {
    channel.send(.take(healthy: healthy.map(\.text)))
    guard case .ready = try await next("did not take over the data folder") else { throw odd }
    let probe = HTTPRequest(method: "GET", target: "/readyz", peer: "hand-over")
    let rest = max(.seconds(1), deadline - ContinuousClock.now)
    guard let answer = await ask(probe, within: min(rest, .seconds(30))) else {
      throw failed("did not answer its health check")
    }
    guard answer.status == 200 else {
      throw failed(
        "is not healthy: /readyz answers \(answer.status) \(String(decoding: answer.body, as: UTF8.self))")
    }
    channel.send(.listen)
    guard case .listening = try await next("did not listen") else { throw odd }
  }

  /// Kills it: returns when it is gone, and what it held with it.
  func abandon() {
    process.signal(SIGKILL)
    _ = process.wait(.seconds(30))
    _ = process.reap()
  }

  private func next(_ trouble: String) async throws(PlatformError) -> HandOverMessage {
    while ContinuousClock.now < deadline {
      if signals.hasEnded { throw failed("was not waited for: this process was told to stop") }
      if let message = await channel.receive(until: min(deadline, .now + .milliseconds(200))) {
        if case .failed(let why) = message { throw failed("\(trouble): \(why)") }
        return message
      }
      guard channel.isOver else { continue }
      _ = process.wait(.seconds(2))
      switch process.reap() {
      case .exited(let code): throw failed("\(trouble): it ended with code \(code); the log says why")
      case .signaled(let number): throw failed("\(trouble): signal \(number) ended it")
      case nil: throw failed("\(trouble): it closed its connection to this process")
      }
    }
    throw failed("\(trouble) within \(limit.components.seconds) s")
  }

  private func failed(_ what: String) -> PlatformError {
    PlatformError(.failedPrecondition, "the new process (\(binary)) \(what)")
  }

  private var odd: PlatformError { failed("said something that this process does not understand") }

  // MARK: What still happens here

  /// Tells what the gateway saw.
  func observed(_ observation: GatewayObservation) { channel.send(HandOverMessage(observation)) }

  func respond(to request: HTTPRequest) async -> HTTPResponse {
    await ask(request, within: .seconds(120))
      ?? HTTPResponse(
        status: 503, headers: [("retry-after", "1")], body: Array("the server is leaving\n".utf8))
  }

  private func ask(_ request: HTTPRequest, within limit: Duration) async -> HTTPResponse? {
    let handed = HandedRequest(request)
    guard
      case .answer(_, let answer) = await channel.ask(within: limit, { .request(ask: $0, request: handed) })
    else { return nil }
    return answer.response
  }
}
