import Domain
import Gateway
import Glibc
import HTTPModel
import Sandboxing
import Storage

/// What this process was given by who started it: sockets that listen already, and, when it is to take over, a connection to
/// the process that serves and that one's lock.
struct Arrival: Sendable {
  /// Descriptors of the service manager's protocol begin here (`sd_listen_fds(3)`).
  static let firstDescriptor: Int32 = 3
  /// Set in a process that is to take over.
  static let variable = "ROOST_TAKES_OVER"

  var sockets: [InheritedSocket] = []
  var connection: UnixConnection?
  var lock: Int32?

  /// Reads `LISTEN_FDS`, `LISTEN_FDNAMES`, `LISTEN_PID`, and forgets them. Throws when what is passed is no listening socket.
  static func take() throws(PlatformError) -> Arrival {
    let known = SystemEnvironment.values(["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", variable])
    Inheritance.forget(["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", variable])
    let takesOver = known[variable] != nil
    guard let count = known["LISTEN_FDS"].flatMap({ Int32($0) }), count >= 0,
      takesOver || known["LISTEN_PID"].flatMap({ Int32($0) }) == getpid()
    else { return Arrival() }
    let names = (known["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false)
    var arrival = Arrival()
    for index in 0..<count {
      let name = Int(index) < names.count ? String(names[Int(index)]) : ""
      let socket = InheritedSocket(firstDescriptor + index, name: name, isHandedOver: takesOver)
      guard let socket else {
        throw PlatformError(
          .invalidArgument,
          "LISTEN_FDS: descriptor \(firstDescriptor + index) ('\(name)') is no listening stream socket: use ListenStream= in the socket unit, and Accept=no"
        )
      }
      arrival.sockets.append(socket)
    }
    if takesOver {
      arrival.connection = UnixConnection(owning: firstDescriptor + count)
      _ = fcntl(firstDescriptor + count, F_SETFD, FD_CLOEXEC)
      arrival.lock = firstDescriptor + count + 1
    }
    return arrival
  }
}

/// The process that this one takes over from.
final class Predecessor: Sendable {
  private let channel: HandOverChannel

  /// - Parameters:
  ///   - responder: answers the requests of the API that still arrive there.
  ///   - feeds: take what its gateway sees.
  init(_ connection: UnixConnection, responder: any HTTPResponder, feeds: TermFeeds) {
    channel = HandOverChannel(connection) { message, channel in
      if let observation = message.observation {
        feeds.observed(observation)
        return true
      }
      guard case .request(let ask, let request) = message else { return false }
      Task {
        let response = await responder.respond(to: request.request)
        channel.send(.answer(ask: ask, answer: HandedResponse(response)))
      }
      return true
    }
  }

  var isGone: Bool { channel.isOver }

  func say(_ message: HandOverMessage) { channel.send(message) }

  /// Waits until the data folder is this process'; returns the instances that get requests.
  func take(version: String) async throws(PlatformError) -> Set<InstanceID> {
    channel.send(.prepared(version: version, schema: Store.schema))
    guard case .take(let healthy) = await channel.receive(until: .now + .seconds(600)) else {
      throw PlatformError(.failedPrecondition, "the process that serves did not hand over")
    }
    return Set(healthy.compactMap { InstanceID($0) })
  }

  /// Says that all is ready, and waits for the word to listen. When the other process has ended, there is nobody else to serve.
  func mayListen() async -> Bool {
    channel.send(.ready)
    if case .listen = await channel.receive(until: .now + .seconds(600)) { return true }
    return channel.isOver
  }

  // MARK: While it drains

  /// Requests that it has at an instance; 1 when it does not say.
  func outstanding(on instance: InstanceID) async -> Int {
    guard !channel.isOver else { return 0 }
    let answer = await channel.ask(within: .seconds(2)) { .outstanding(ask: $0, instance: instance.text) }
    if case .count(_, let requests) = answer { return requests }
    return channel.isOver ? 0 : 1
  }

  func keep(_ instances: Set<InstanceID>) {
    guard !channel.isOver else { return }
    channel.send(.keep(instances: instances.map(\.text)))
  }

  func endStreams(on instance: InstanceID) {
    guard !channel.isOver else { return }
    channel.send(.endStreams(instance: instance.text))
  }
}
