import Domain
import FoundationEssentials
import Glibc
import Sandboxing
import Synchronization

/// What `roost upgrade` asks of the process that serves.
struct UpgradeRequest: Codable, Sendable {
  /// Absolute; nil: the file that the process was started from.
  var binary: String?
  /// For the new process to take over.
  var timeoutSeconds: Double
  /// For what goes on in the old one.
  var drainSeconds: Double
  /// Only this process is meant: another one refuses, and does nothing. Nil: whichever serves the data folder.
  var process: ProcessID?
}

/// A request with the way back to who asked.
struct UpgradeCall: Sendable {
  var request: UpgradeRequest
  var reply: @Sendable (UpgradeReport) -> Void
}

/// The socket `upgrade.sock` of the data folder: only the user that the service runs as may open it.
final class UpgradeDoor: Sendable {
  static func path(_ dataFolder: String) -> String { dataFolder + "/upgrade.sock" }

  private let listener: UnixListener

  /// Gives each request that means this process to the closure, on a thread of its own.
  init(
    _ data: DataFolder, of process: ProcessID, _ knocked: @escaping @Sendable (UpgradeCall) -> Void
  ) throws(PlatformError) {
    do throws(SystemFailure) { listener = try UnixListener(path: Self.path(data.path)) } catch {
      throw PlatformError(.unavailable, error.description)
    }
    startThread { [listener] in
      while let connection = listener.accept() {
        guard let request: UpgradeRequest = Self.read(connection, within: .seconds(5)) else { continue }
        guard request.process == nil || request.process == process else {
          let report = UpgradeReport(
            upgraded: false, message: "another process serves this data folder than the one that is meant",
            pid: Int(getpid()), version: AssembledService.version, isOther: true)
          Self.write(report, to: connection)
          continue
        }
        knocked(UpgradeCall(request: request) { Self.write($0, to: connection) })
      }
    }
  }

  func close() { listener.close() }

  /// A line of JSON.
  static func read<Value: Decodable>(_ connection: UnixConnection, within limit: Duration) -> Value? {
    var bytes: [UInt8] = []
    let deadline = Deadline(after: limit)
    while bytes.last != 0x0a, bytes.count < 65536 {
      do throws(UnixConnection.Failure) { bytes += try connection.receive(deadline: deadline) } catch {
        return nil
      }
    }
    return try? JSONDecoder().decode(Value.self, from: Data(bytes))
  }

  static func write(_ value: some Encodable, to connection: UnixConnection) {
    guard let json = try? JSONEncoder().encode(value) else { return }
    do throws(UnixConnection.Failure) {
      try connection.send(Array(json) + [0x0a], deadline: Deadline(after: .seconds(5)))
    } catch {}
  }
}
