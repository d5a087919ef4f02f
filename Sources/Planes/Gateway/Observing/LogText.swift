internal import CLinux
internal import Reactor
internal import Telemetry
internal import Wire

/// Lines of the access log that wait to be handed over.
final class LogText {
  private let text = ByteQueue()
  private var second: Int64 = -1
  private var secondText: [UInt8] = []

  /// In bytes.
  var count: Int { text.count }

  /// The lines so far, which are forgotten here.
  func take() -> [UInt8] {
    let lines = Array(text.bytes)
    text.empty()
    return lines
  }

  /// Adds the line of a request, a JSON object.
  func add(_ record: borrowing RequestRecord) {
    text.append("{\"time\":\"")
    append(time: record.endedAt)
    if record.hasNode {
      text.append("\",\"node\":\"")
      append(record.node)
    } else {
      text.append("\",\"node\":null")
    }
    text.append(",\"request_id\":\"")
    text.append(identifier: record.identifier, Int(record.identifierCount))
    text.append("\",\"peer\":\"")
    if let peer = record.peer {
      text.wrote(roost_address_text(peer.high, peer.low, text.room(64), 64))
    } else {
      text.append("unix")
    }
    text.append("\",\"status\":")
    text.append(decimal: Int(record.status))
    text.append(",\"duration_us\":")
    text.append(decimal: max(record.duration, 0))
    text.append(",\"queue_us\":")
    text.append(decimal: max(record.queued, 0))
    text.append(",\"request_bytes\":")
    text.append(decimal: record.requestBytes)
    if record.hasInstance {
      text.append(",\"instance\":\"")
      append(record.instance)
    }
    if record.retries > 0 {
      text.append(",\"retries\":")
      text.append(decimal: Int(record.retries))
    }
    text.append(",\"trace_id\":\"")
    record.trace.writeTrace(text.room(32))
    text.wrote(32)
    text.append("\"}\n")
  }

  private func append(_ key: NodeKey) {
    var key = key
    withUnsafeBytes(of: &key) { bytes in
      if let base = bytes.bindMemory(to: UInt8.self).baseAddress { text.append(base, 20) }
    }
    text.append("\"")
  }

  /// `YYYY-MM-DDThh:mm:ss.ffffffZ`, of microseconds since 1970.
  private func append(time microseconds: Int64) {
    let now = microseconds / 1_000_000
    if now != second {
      second = now
      secondText = Array(WallClock.text(microseconds: now * 1_000_000).utf8.prefix(20))
    }
    text.append(secondText)
    var rest = Int(microseconds % 1_000_000)
    let target = text.room(7)
    var place = 5
    while place >= 0 {
      target[place] = UInt8(truncatingIfNeeded: 0x30 + rest % 10)
      rest /= 10
      place -= 1
    }
    target[6] = 0x5a
    text.wrote(7)
  }
}
