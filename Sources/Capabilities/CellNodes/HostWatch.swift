import Domain
import DriverAPI
import FoundationEssentials
import Sandboxing
import Synchronization

/// Watches one host from a thread of its own: exits of instances (events of the zygote) and of the zygote
/// (pidfd).
struct HostWatch: Sendable {
  let host: CellHost
  let report: @Sendable (InstanceExit) -> Void
  let log: @Sendable (String) -> Void

  func start() {
    startThread {
      run()
      host.watchEnded.ring()
    }
  }

  private func run() {
    var events: ControlSocket?
    while true {
      if events == nil { events = connect() }
      let descriptors = [
        host.stopSignal.descriptor, events?.connection.descriptor ?? -1, host.process.descriptor,
      ]
      switch waitForAny(descriptors, timeout: events == nil ? .milliseconds(200) : .seconds(3600)) {
      case 0: return
      // Events that the zygote sent before its end come first.
      case 1: if let socket = events, !read(socket) { events = nil }
      case 2:
        if let socket = events { _ = read(socket) }
        hostEnded()
        return
      default: break
      }
    }
  }

  private func connect() -> ControlSocket? {
    let deadline = Deadline(after: .seconds(1))
    guard let socket = try? ControlSocket(host.folder),
      (try? socket.send(.events, deadline: deadline)) != nil
    else { return nil }
    return socket
  }

  /// False when the connection is closed.
  private func read(_ socket: ControlSocket) -> Bool {
    do throws(UnixConnection.Failure) {
      var line = try socket.readLine(deadline: Deadline(after: .seconds(1)))
      while true {
        if let event = try? JSONDecoder().decode(ZygoteEvent.self, from: Data(line)),
          let instance = InstanceID(event.instance)
        {
          var facts = EndFacts(code: event.code, signal: event.signal)
          facts.request = event.request.flatMap { RunFolder.requestName($0.utf8) }
          switch event.event {
          case "exited": instanceEnded(instance, facts)
          case "requestEnded": requestEnded(instance, facts)
          default: break
          }
        }
        guard let next = socket.nextBufferedLine() else { return true }
        line = next
      }
    } catch .timedOut {
      return true
    } catch {
      return false
    }
  }

  private func instanceEnded(_ instance: InstanceID, _ zygoteFacts: EndFacts) {
    var facts = zygoteFacts
    let counted = host.state.withLock { $0.known[instance]?.memoryKills } ?? 0
    facts.read(host.group(of: instance), counted: counted)
    facts.request = host.folder.request(of: instance)
    let error = host.words.instanceEnded(instance, facts)
    let isNews = host.state.withLock { state in
      guard !state.silent, state.known[instance]?.end == nil else { return false }
      let stopping = state.known[instance]?.stopping ?? false
      state.noteEnd(instance, error)
      return !stopping
    }
    if isNews { tell(error, instance) }
    host.cleanUp(instance)
  }

  /// With `isolation: request` the instance outlives what a request does to its process. Told at most once a
  /// second for an instance: a caller may do it as often as it likes.
  private func requestEnded(_ instance: InstanceID, _ zygoteFacts: EndFacts) {
    var facts = zygoteFacts
    let now = ContinuousClock.now
    let counted = host.state.withLock { $0.known[instance]?.memoryKills } ?? 0
    facts.read(host.group(of: instance), counted: counted)
    let count: Int? = host.state.withLock { state in
      guard !state.silent, var known = state.known[instance], known.end == nil else { return nil }
      known.requestEnds += 1
      if facts.outOfMemory { known.memoryKills += 1 }
      let isSoon = known.lastTold.map { now - $0 < .seconds(1) } ?? false
      if !isSoon { known.lastTold = now }
      state.known[instance] = known
      return isSoon ? nil : known.requestEnds
    }
    guard let count else { return }
    tell(host.words.requestEnded(instance, facts, count: count), instance, goesOn: true)
  }

  private func hostEnded() {
    var facts = HostEnd.facts(outer: host.outer, folder: host.folder)
    facts.read(CellHost.zygoteGroup(host.group))
    let orphans: [InstanceID]? = host.state.withLock { state in
      if state.silent { return nil }
      state.silent = true
      return state.known.filter { $0.value.end == nil && !$0.value.stopping }.keys.sorted()
    }
    // The sandbox's first process outlives the zygote as long as instances do.
    host.group?.killAll()
    host.state.withLock { state in
      for (_, known) in state.known {
        guard let handle = known.handle else { continue }
        ProcessHandle(pid: handle.pid, startTicks: handle.startTicks)?.signal(9)
      }
    }
    _ = host.outer?.wait(.seconds(2))
    _ = host.outer?.reap()
    host.group?.remove()
    let requests = (orphans ?? []).map { host.folder.request(of: $0) }
    Files.removeTree(host.folder.sockets)
    guard let orphans else { return }
    // First the host: who hears of an instance should know already that no new one can be started.
    let error = host.words.hostEnded(facts)
    NodeLog.append(error.message, at: error.at, launch: host.launch, to: host.folder.log)
    tell(error, nil)
    for (instance, request) in zip(orphans, requests) {
      facts.request = request
      let error = host.words.instanceEndedWithHost(instance, facts)
      host.state.withLock { $0.noteEnd(instance, error) }
      tell(error, instance)
    }
  }

  private func tell(_ error: LastError, _ instance: InstanceID?, goesOn: Bool = false) {
    log("\(host.key): \(error.message)")
    report(
      InstanceExit(
        node: host.launch.node, release: host.launch.release, instance: instance, error: error,
        instanceGoesOn: goesOn))
  }
}

/// How the process of a host ended.
enum HostEnd {
  /// By what bubblewrap wrote, which is there after a restart of the service too, else by the process itself.
  static func facts(outer: ProcessHandle?, folder: RunFolder) -> EndFacts {
    _ = outer?.wait(.seconds(1))
    let reaped = outer?.reap()
    struct Status: Decodable {
      var exitCode: Int32?
      enum CodingKeys: String, CodingKey { case exitCode = "exit-code" }
    }
    let written = (Files.readText(folder.status) ?? "").split(separator: "\n")
      .compactMap { try? JSONDecoder().decode(Status.self, from: Data($0.utf8)).exitCode }.last
    if let written { return written > 128 ? EndFacts(signal: written - 128) : EndFacts(code: written) }
    switch reaped {
    case .exited(let code): return EndFacts(code: code)
    case .signaled(let signal): return EndFacts(signal: signal)
    case nil: return EndFacts()
    }
  }
}

/// Lines of the service in a node's log.
enum NodeLog {
  private struct Line: Encodable {
    var time: String
    var node: NodeID
    var release: Int
    var stream = "system"
    var message: String
  }

  static func append(
    _ message: String, at time: Timestamp, launch: NodeLaunch, to path: String
  ) {
    let line = Line(
      time: time.description, node: launch.node, release: launch.release, message: message
    )
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.withoutEscapingSlashes]
    guard let bytes = try? encoder.encode(line) else { return }
    // A log that can't be written must not keep a node from being served.
    try? Files.append(String(decoding: bytes, as: UTF8.self) + "\n", to: path)
  }
}
