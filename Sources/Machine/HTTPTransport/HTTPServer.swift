internal import CLinux
internal import Glibc
public import Reactor
public import Wire

/// What an `HTTPServer` gives its requests to. All calls come on the loop's thread.
public protocol HTTPServerOwner: AnyObject {
  /// A head was parsed: most bytes that its body may have.
  func bodyLimit(for connection: HTTPConnection, fields: UnsafeMutablePointer<HTTP1Field>) -> Int
  /// A whole request is there. The owner answers now or later, exactly once. The memory is valid during this call.
  func received(
    _ connection: HTTPConnection, fields: UnsafeMutablePointer<HTTP1Field>, body: UnsafePointer<UInt8>,
    count: Int)
  /// The client went away while its request was with the owner; no answer is possible any more.
  func abandoned(_ connection: HTTPConnection)
  /// The transport itself refuses: the owner words the answer, the connection closes after it.
  func refused(_ connection: HTTPConnection, status: Int, message: String)
}

/// The server side of HTTP/1.1 for one loop: accepts, collects whole requests, writes answers.
///
/// One `recv` per readiness into a buffer that the loop shares; a request that came whole is parsed in place and costs no
/// memory of its connection. Answers gather until the end of the batch and leave in one `send`.
public final class HTTPServer {
  /// Kinds in the top byte of what the loop watches; owners use kinds from 16 on.
  public enum Kind {
    public static let listener: UInt64 = 1
    public static let connection: UInt64 = 2
  }

  /// How long clients may be slow.
  public struct Limits: Sendable {
    public var headSeconds = 20
    public var bodyIdleSeconds = 30
    public var keepAliveSeconds = 75
    public var writeIdleSeconds = 30
    public init() {}
  }

  let loop: EventLoop
  private unowned let owner: any HTTPServerOwner
  let limits: Limits
  private var listener: Int32
  private var connections: [HTTPConnection] = []
  private var free: [Int] = []
  private var recycled: [Int] = []
  var dirty: [HTTPConnection] = []
  var resumable: [HTTPConnection] = []
  var isDraining = false
  private let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: 65536)
  private let fields = UnsafeMutablePointer<HTTP1Field>.allocate(capacity: HTTP1Head.maximumFields)
  /// Whose head the table of fields holds.
  private var fieldsKey = UInt64.max
  var dateSecond: Int64 = -1
  var date: [UInt8] = []
  /// Connections open now.
  public private(set) var openCount = 0
  /// Connections accepted so far.
  public private(set) var acceptedCount = 0

  /// Serves a listening socket, which it owns from now on.
  public init(loop: EventLoop, listener: Int32, limits: Limits = Limits(), owner: any HTTPServerOwner) {
    self.loop = loop
    self.listener = listener
    self.limits = limits
    self.owner = owner
    fields.initialize(repeating: HTTP1Field(), count: HTTP1Head.maximumFields)
    loop.watch(listener, .readable, data: Kind.listener << 56)
  }

  deinit {
    for connection in connections {
      if connection.descriptor >= 0 { _ = Glibc.close(connection.descriptor) }
      connection.input.free()
      connection.output.free()
      connection.collected.free()
    }
    if listener >= 0 { _ = Glibc.close(listener) }
    scratch.deallocate()
    fields.deallocate()
  }

  /// The connection of a key, unless it closed since.
  public func connection(_ key: UInt64) -> HTTPConnection? {
    let slot = Int(key & 0xffff_ffff)
    guard slot < connections.count else { return nil }
    let connection = connections[slot]
    return connection.key == key && connection.state != .closed ? connection : nil
  }

  // MARK: Events

  /// A listener or a connection is ready.
  public func ready(_ data: UInt64, _ events: ReadyEvents) {
    if data >> 56 == Kind.listener { return accept() }
    guard let connection = connection(data & 0xff_ffff_ffff_ffff) else { return }
    if events.contains(.writable) { flush(connection) }
    guard connection.state != .closed else { return }
    if events.contains(.failed) || (events.contains(.hangup) && connection.state == .owned) {
      return disconnect(connection)
    }
    if events.contains(.readable) || events.contains(.hangup) { read(connection) }
  }

  /// A connection's timer fired.
  public func fired(_ data: UInt64) {
    if data >> 56 == Kind.listener {
      if listener >= 0 { loop.watch(listener, .readable, data: Kind.listener << 56) }
      return
    }
    guard let connection = connection(data & 0xff_ffff_ffff_ffff) else { return }
    connection.timer = .none
    guard loop.now >= connection.deadline else { return arm(connection) }
    switch connection.state {
    case .owned where connection.output.isEmpty: return
    case .head where connection.input.isEmpty && connection.output.isEmpty: close(connection)
    case .head, .body, .chunked:
      guard connection.output.isEmpty else { return disconnect(connection) }
      refuse(connection, 408, "the request did not arrive in time")
    default: disconnect(connection)
    }
  }

  /// Writes what the batch made, goes on with pipelined requests, and recycles what closed.
  public func batchEnded() {
    while !resumable.isEmpty || !dirty.isEmpty {
      let waiting = resumable
      resumable.removeAll(keepingCapacity: true)
      for connection in waiting where connection.state == .head { resume(connection) }
      let changed = dirty
      dirty.removeAll(keepingCapacity: true)
      for connection in changed {
        connection.isDirty = false
        if connection.state != .closed { flush(connection) }
      }
    }
    free.append(contentsOf: recycled)
    recycled.removeAll(keepingCapacity: true)
  }

  private func accept() {
    guard listener >= 0 else { return }
    for _ in 0..<64 {
      let slot = free.popLast() ?? connections.count
      if slot == connections.count { connections.append(HTTPConnection(slot: slot)) }
      let connection = connections[slot]
      let descriptor = roost_accept(listener, &connection.address)
      guard descriptor >= 0 else {
        let code = roost_errno()
        free.append(slot)
        if code == EMFILE || code == ENFILE || code == ENOMEM || code == ENOBUFS {
          // Out of files: a level-triggered listener would spin. Look again when some may have closed.
          loop.unwatch(listener)
          _ = loop.setTimer(at: loop.now + 100_000_000, data: Kind.listener << 56)
        }
        return
      }
      var one: Int32 = 1
      _ = setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
      connection.descriptor = descriptor
      connection.generation &+= 1
      connection.state = .head
      connection.scanned = 0
      connection.requests = 0
      connection.closesAfterAnswer = false
      connection.lingers = false
      connection.watched = [.readable, .hangup]
      openCount += 1
      acceptedCount += 1
      loop.watch(descriptor, connection.watched, data: Kind.connection << 56 | connection.key)
      expect(connection, seconds: limits.headSeconds)
    }
  }

  func expect(_ connection: HTTPConnection, seconds: Int) {
    connection.deadline = loop.now + Int64(seconds) * 1_000_000_000
    if connection.timer == .none { arm(connection) }
  }

  /// The timer is set once and looks at the deadline when it fires: requests only move the deadline.
  private func arm(_ connection: HTTPConnection) {
    connection.timer = loop.setTimer(
      at: connection.deadline, data: Kind.connection << 56 | connection.key)
  }

  func watch(_ connection: HTTPConnection, _ events: ReadyEvents) {
    guard connection.watched != events else { return }
    connection.watched = events
    loop.rewatch(connection.descriptor, events, data: Kind.connection << 56 | connection.key)
  }

  // MARK: Reading

  private func read(_ connection: HTTPConnection) {
    let isDirect = connection.input.isEmpty && connection.state == .head
    var wanted = 65536
    if connection.state == .body {
      let rest = Int(connection.head.length) + connection.head.contentLength - connection.input.count
      wanted = min(max(rest, 4096), 1 << 20)
    }
    let target = isDirect || connection.state == .lingering ? scratch : connection.input.room(wanted)
    let received = roost_recv(connection.descriptor, target, wanted)
    if received < 0 {
      let code = roost_errno()
      if roost_would_block(code) == 0, code != EINTR { disconnect(connection) }
      return
    }
    guard received > 0 else { return disconnect(connection) }
    switch connection.state {
    case .lingering, .closed: return
    case .owned:
      connection.input.wrote(received)
      // Pipelined requests wait in the kernel beyond this; only the hang-up is of interest then.
      if connection.input.count > 131072 { watch(connection, [.hangup]) }
    case .head where isDirect:
      let used = process(connection, scratch, received)
      if connection.state == .chunked {
        connection.input.append(scratch + used, Int(connection.head.length))
      } else if connection.state != .lingering, connection.state != .closed, used < received {
        connection.input.append(scratch + used, received - used)
      }
    default:
      connection.input.wrote(received)
      processInput(connection)
    }
  }

  private func resume(_ connection: HTTPConnection) {
    guard !connection.input.isEmpty else { return }
    processInput(connection)
  }

  private func processInput(_ connection: HTTPConnection) {
    guard let base = connection.input.base else { return }
    let used = process(connection, base, connection.input.count)
    switch connection.state {
    case .lingering, .closed: connection.input.clear()
    case .chunked:
      // What was decoded lies in `collected`; of the rest only the head is needed again.
      connection.input.drop(used)
      connection.input.keepFirst(Int(connection.head.length))
    default: connection.input.drop(used)
    }
  }

  /// Looks at bytes from the start of a message on; returns how many were used up.
  private func process(_ connection: HTTPConnection, _ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var at = 0
    while connection.state != .owned, connection.state != .lingering, connection.state != .closed, at < count
    {
      let message = base + at
      let rest = count - at
      if connection.state == .head, !takeHead(connection, message, rest) { break }
      guard connection.state == .body || connection.state == .chunked else { break }
      guard let used = takeBody(connection, message, rest) else { break }
      at += used
    }
    return at
  }

  private func takeHead(_ connection: HTTPConnection, _ base: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let end = HTTP1Head.end(base, min(count, HTTP1Head.maximumBytes), from: connection.scanned)
    guard let end else {
      connection.scanned = count
      if count >= HTTP1Head.maximumBytes {
        refuse(connection, HTTP1Fault.headTooLarge.status, HTTP1Fault.headTooLarge.message)
      }
      return false
    }
    connection.scanned = 0
    do throws(HTTP1Fault) {
      fieldsKey = connection.key
      connection.head = try HTTP1Head.parseRequest(base, end, fields)
    } catch {
      refuse(connection, error.status, error.message)
      return false
    }
    connection.base = base
    connection.bodyLimit = owner.bodyLimit(for: connection, fields: fields)
    let length = connection.head.contentLength
    if length > connection.bodyLimit {
      refuse(connection, 413, Self.tooLarge(connection.bodyLimit, "it has \(length) bytes"))
      return false
    }
    connection.state = connection.head.isChunked ? .chunked : .body
    connection.decoder = ChunkedDecoder()
    if connection.head.expectsContinue, connection.head.hasBody, count == end {
      connection.output.append("HTTP/1.1 100 Continue\r\n\r\n")
      flush(connection)
    }
    expect(connection, seconds: limits.bodyIdleSeconds)
    return connection.state != .closed
  }

  static func tooLarge(_ limit: Int, _ actual: String) -> String {
    "the request body may have at most \(limit) bytes; \(actual)"
  }

  /// Takes the body if all of it is there and gives the request to the owner; nil when more must come.
  private func takeBody(_ connection: HTTPConnection, _ base: UnsafePointer<UInt8>, _ count: Int) -> Int? {
    let start = Int(connection.head.length)
    var used = start + max(0, connection.head.contentLength)
    if connection.state == .body {
      guard count >= used else {
        connection.deadline = loop.now + Int64(limits.bodyIdleSeconds) * 1_000_000_000
        return nil
      }
      deliver(connection, base, base + start, used - start)
      return used
    }
    used = start
    while true {
      let event: ChunkedDecoder.Event
      do throws(HTTP1Fault) {
        event = try connection.decoder.next(base, count, at: &used)
      } catch {
        refuse(connection, error.status, error.message)
        return nil
      }
      switch event {
      case .data(let range):
        let size = connection.collected.count + range.count
        guard size <= connection.bodyLimit else {
          refuse(
            connection, 413, Self.tooLarge(connection.bodyLimit, "\(size) bytes have arrived and it goes on"))
          return nil
        }
        connection.collected.append(base + range.lowerBound, range.count)
      case .needMore:
        connection.deadline = loop.now + Int64(limits.bodyIdleSeconds) * 1_000_000_000
        return nil
      case .end:
        deliver(connection, base, connection.collected.base ?? scratch, connection.collected.count)
        return used
      }
    }
  }

  private func deliver(
    _ connection: HTTPConnection, _ base: UnsafePointer<UInt8>, _ body: UnsafePointer<UInt8>, _ count: Int
  ) {
    // The table of fields is the loop's: heads of other connections may have gone through it since.
    if fieldsKey != connection.key {
      if let again = try? HTTP1Head.parseRequest(base, Int(connection.head.length), fields) {
        connection.head = again
        fieldsKey = connection.key
      }
    }
    connection.base = base
    connection.state = .owned
    connection.requests += 1
    connection.closesAfterAnswer = isDraining || !connection.head.keepsAlive
    owner.received(connection, fields: fields, body: body, count: count)
    connection.collected.clear()
    connection.base = nil
  }

  // MARK: Ends

  private func refuse(_ connection: HTTPConnection, _ status: Int, _ message: String) {
    connection.lingers = true
    connection.closesAfterAnswer = true
    connection.state = .owned
    connection.collected.clear()
    owner.refused(connection, status: status, message: message)
  }

  private func flush(_ connection: HTTPConnection) {
    while let base = connection.output.base, !connection.output.isEmpty {
      let sent = roost_send(connection.descriptor, base, connection.output.count)
      if sent < 0 {
        let code = roost_errno()
        if code == EINTR { continue }
        guard roost_would_block(code) != 0 else { return disconnect(connection) }
        // While a client does not read its answers, it is not asked for more requests.
        watch(connection, connection.state == .owned ? [.writable, .hangup] : [.writable])
        connection.deadline = loop.now + Int64(limits.writeIdleSeconds) * 1_000_000_000
        if connection.timer == .none { arm(connection) }
        return
      }
      connection.output.drop(sent)
    }
    if connection.watched.contains(.writable) { watch(connection, [.readable, .hangup]) }
    if connection.state == .lingering {
      guard connection.lingers || isDraining else { return close(connection) }
      connection.input.clear()
      shutdown(connection.descriptor, Int32(SHUT_WR))
      watch(connection, [.readable])
      connection.deadline = loop.now + 2_000_000_000
      loop.cancel(&connection.timer)
      arm(connection)
    }
  }

  // MARK: Closing

  private func disconnect(_ connection: HTTPConnection) {
    let wasOwned = connection.state == .owned
    close(connection)
    if wasOwned { owner.abandoned(connection) }
  }

  private func close(_ connection: HTTPConnection) {
    guard connection.state != .closed else { return }
    connection.state = .closed
    loop.cancel(&connection.timer)
    _ = Glibc.close(connection.descriptor)
    connection.descriptor = -1
    connection.input.free()
    connection.output.free()
    connection.collected.free()
    openCount -= 1
    recycled.append(connection.slot)
  }

  /// Takes what has already been queued for accepting, stops listening, and closes idle connections; those with a
  /// request close after its answer.
  public func drain() {
    guard !isDraining else { return }
    accept()
    isDraining = true
    if listener >= 0 { _ = Glibc.close(listener) }
    listener = -1
    for connection in connections where connection.state == .head && connection.output.isEmpty {
      // A request may lie in the socket already: it is read and answered first.
      read(connection)
      if connection.state == .head, connection.input.isEmpty, connection.output.isEmpty { close(connection) }
    }
  }
}
