internal import CLinux
internal import Glibc
internal import Reactor
internal import Wire

/// From bytes to requests.
extension HTTPServer {
  func read(_ connection: HTTPConnection) {
    if connection.state == .proxyHeader { return readProxyHeader(connection) }
    if let tls = connection.tls { return read(connection, tls) }
    let isDirect = readsDirectly(connection)
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
    received > 0 ? take(connection, received, isDirect) : readEnded(connection)
  }

  /// Whether what is read next goes to the loop's buffer and is looked at there.
  func readsDirectly(_ connection: HTTPConnection) -> Bool {
    connection.input.isEmpty
      && (connection.state == .head || connection.state == .http2 || connection.isReceiving)
  }

  /// The client sends no more.
  func readEnded(_ connection: HTTPConnection) {
    connection.state == .owned && connection.incoming == .raw
      ? halfClosed(connection) : disconnect(connection)
  }

  /// Bytes were read, to the loop's buffer if `isDirect` or the connection lingers, else to the end of its input.
  func take(_ connection: HTTPConnection, _ received: Int, _ isDirect: Bool) {
    switch connection.state {
    case .lingering where connection.output.isEmpty: return linger(connection)
    case .lingering, .closed: return
    case .http2 where isDirect: receive(connection, scratch, received)
    case .owned where isDirect && connection.isReceiving:
      takeStreamed(connection, scratch, received)
    case .owned:
      connection.input.wrote(received)
      if connection.isReceiving { return processInput(connection) }
      // Pipelined requests wait in the kernel beyond this; only the hang-up is of interest then.
      if connection.input.count > 131072 { watch(connection, [.hangup]) }
    case .head where isDirect:
      let used = process(connection, scratch, received)
      if connection.state == .chunked {
        connection.input.append(scratch + used, Int(connection.head.length))
      } else if connection.state != .lingering, connection.state != .closed, used < received {
        connection.input.append(scratch + used, received - used)
      }
      if connection.isCollecting { limitHeld(connection) }
    default:
      connection.input.wrote(received)
      processInput(connection)
    }
  }

  /// Goes on with what has been read already.
  func goOn(_ connection: HTTPConnection) {
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
    if connection.isCollecting {
      limitHeld(connection)
    } else if connection.heldBytes > 0 {
      count(connection)
    }
  }

  /// Counts what the connection holds of a body.
  func count(_ connection: HTTPConnection) {
    let held = connection.isCollecting ? connection.input.count + connection.collected.count : 0
    heldBytes += held - connection.heldBytes
    connection.heldBytes = held
  }

  /// The same, and refuses it if that is too much beside all others.
  private func limitHeld(_ connection: HTTPConnection) {
    count(connection)
    guard isTooMuch(heldBytes, isModest: connection.heldBytes <= Self.modestBody) else { return }
    refuse(connection, 429, Self.tooMuch(limits.heldBytes))
    connection.input.clear()
  }

  /// Whether bodies may not have so many bytes together.
  public func isTooMuch(_ held: Int, isModest: Bool) -> Bool {
    (isModest ? held / 2 : held) > limits.heldBytes
  }

  public static func tooMuch(_ limit: Int) -> String {
    "bodies of requests and answers have all of the \(limit) bytes of memory that they may have here; send it again in a moment"
  }

  /// Looks at bytes from the start of a message (or within a streamed body) on; returns how many were used up.
  private func process(_ connection: HTTPConnection, _ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var at = 0
    while at < count {
      let message = base + at
      let rest = count - at
      if connection.skips > 0 {
        let part = min(rest, connection.skips)
        connection.skips -= part
        at += part
        continue
      }
      if connection.state == .owned {
        guard connection.isReceiving else { break }
        at += takePart(connection, message, rest)
        continue
      }
      if connection.state == .head {
        // Who does not take its answers gets no more of them made.
        guard connection.output.count <= HTTPExchange.lowWater else { break }
        if connection.requests == 0, isPreface(message, rest) {
          begin2(connection)
        }
        if connection.state == .http2 {
          receive(connection, message, rest)
          return count
        }
        guard takeHead(connection, message, rest) else { break }
        if connection.isStreamed {
          at += begin(connection, message)
          continue
        }
      }
      guard connection.state == .body || connection.state == .chunked else { break }
      guard let used = takeBody(connection, message, rest) else { break }
      at += used
    }
    return at
  }

  private func takeHead(_ connection: HTTPConnection, _ base: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let end = HTTP1Head.end(base, min(count, HTTP1Head.maximumBytes), from: connection.scanned)
    guard let end else {
      if count >= HTTP1Head.maximumBytes {
        let fault = HTTP1Head.endless(base, count)
        refuse(connection, fault.status, fault.message(base, count))
      } else if connection.scanned == 0, connection.requests > 0 {
        // A kept connection may be idle for long; a head that has begun may not.
        hurry(connection, seconds: limits.headSeconds)
      }
      connection.scanned = count
      return false
    }
    connection.scanned = 0
    do throws(HTTP1Fault) {
      fieldsKey = connection.key
      connection.head = try HTTP1Head.parseRequest(base, end, fields)
    } catch {
      refuse(connection, error.status, error.message(base, end))
      return false
    }
    connection.base = base
    connection.isStreamed = false
    switch arrive(connection) {
    case .collect(let limit): connection.bodyLimit = limit
    case .stream: return true
    }
    let length = connection.head.contentLength
    if length > connection.bodyLimit {
      refuse(connection, 413, Self.tooLarge(connection.bodyLimit, "it has \(length) bytes"))
      return false
    }
    if length > Self.modestBody, let objection = owner.objection(connection, fields: fields) {
      refuse(connection, objection.status, objection.message)
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
        if size > Self.modestBody, connection.collected.count <= Self.modestBody {
          recall(connection, base)
          if let objection = owner.objection(connection, fields: fields) {
            refuse(connection, objection.status, objection.message)
            return nil
          }
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

  /// Fills the table of fields with the connection's head, which is at `base`. The table is the loop's: heads of other
  /// connections may have gone through it since.
  private func recall(_ connection: HTTPConnection, _ base: UnsafePointer<UInt8>) {
    if fieldsKey != connection.key {
      if let again = try? HTTP1Head.parseRequest(base, Int(connection.head.length), fields) {
        connection.head = again
        fieldsKey = connection.key
      }
    }
    connection.base = base
  }

  private func deliver(
    _ connection: HTTPConnection, _ base: UnsafePointer<UInt8>, _ body: UnsafePointer<UInt8>, _ count: Int
  ) {
    recall(connection, base)
    connection.state = .owned
    if connection.heldBytes > 0 { self.count(connection) }
    connection.requests += 1
    connection.closesAfterAnswer = isDraining || !connection.head.keepsAlive
    owner.received(connection, fields: fields, body: body, count: count)
    connection.collected.clear()
    connection.base = nil
  }
}
