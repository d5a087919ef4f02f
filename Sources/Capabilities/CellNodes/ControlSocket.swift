import Domain
import DriverAPI
import FoundationEssentials
import Sandboxing

/// What the zygote answers (`docs/formats/worker-protocol.md`); fields that an answer lacks are nil.
struct ZygoteAnswer: Decodable, Sendable {
  struct Failure: Decodable, Sendable {
    var phase: String?
    var errorName: String?
    var errorMessage: String?
    var traceback: [String]?
  }
  struct Instance: Decodable, Sendable {
    var id: String
    var state: String
    var code: Int32?
    var signal: Int32?
  }

  var ok: Bool
  var error: Failure?
  var state: String?
  var mode: String?
  var modeReason: String?
  var restoreSeconds: Double?
  var restored: [String]?
  var warnings: [String]?
  var instances: [Instance]?
  var pid: Int32?
  var warmUp: WarmUpReport?
}

/// An exit as the zygote saw it, or that of a process for one request as its instance saw it.
struct ZygoteEvent: Decodable, Sendable {
  /// `exited` or `requestEnded`.
  var event: String
  var instance: String
  var code: Int32?
  var signal: Int32?
  var request: String?
}

/// A connection to the control socket of a zygote: one JSON object per line. Used by one thread.
final class ControlSocket {
  enum Operation: String { case info, rehearse, start, stop, kill, forget, events, shutdown }

  let connection: UnixConnection
  private var buffered: [UInt8] = []

  init(_ folder: RunFolder) throws(UnixConnection.Failure) {
    connection = try UnixConnection(path: folder.zygoteSocket)
  }

  /// - Parameters:
  ///   - entries: the groups that a new instance is to enter.
  ///   - variables: of its environment, beside those of the zygote.
  func send(
    _ operation: Operation, _ instance: InstanceID? = nil, entries: [FileHandle] = [],
    variables: [String: String] = [:], deadline: Deadline
  ) throws(UnixConnection.Failure) {
    let name = instance.map { ",\"instance\":\"\($0)\"" } ?? ""
    let groups = entries.isEmpty ? "" : ",\"groups\":\(entries.count)"
    var environment = ""
    if !variables.isEmpty, let bytes = try? JSONEncoder().encode(variables) {
      environment = ",\"environment\":\(String(decoding: bytes, as: UTF8.self))"
    }
    try connection.send(
      Array("{\"op\":\"\(operation.rawValue)\"\(name)\(groups)\(environment)}\n".utf8), passing: entries,
      deadline: deadline)
  }

  func ask(
    _ operation: Operation, _ instance: InstanceID? = nil, entries: [FileHandle] = [],
    variables: [String: String] = [:], deadline: Deadline,
    watching process: ProcessHandle? = nil
  ) throws(UnixConnection.Failure) -> ZygoteAnswer {
    try send(operation, instance, entries: entries, variables: variables, deadline: deadline)
    let line = try readLine(deadline: deadline, watching: process)
    guard let answer = try? JSONDecoder().decode(ZygoteAnswer.self, from: Data(line)) else { throw .closed }
    return answer
  }

  func readLine(deadline: Deadline, watching process: ProcessHandle? = nil) throws(UnixConnection.Failure)
    -> [UInt8]
  {
    while true {
      if let line = nextBufferedLine() { return line }
      buffered += try connection.receive(deadline: deadline, watching: process)
    }
  }

  /// A line that has arrived already.
  func nextBufferedLine() -> [UInt8]? {
    guard let end = buffered.firstIndex(of: 0x0a) else { return nil }
    defer { buffered.removeSubrange(...end) }
    return Array(buffered[..<end])
  }
}
