public import Domain
import Sandboxing

/// Asks the process that serves a data folder to have another one take over.
public enum UpgradeClient {
  /// Returns when the new process serves, or the old one goes on to.
  ///
  /// - Parameters:
  ///   - binary: an absolute path; nil: the file that the service was started from.
  ///   - timeout: seconds for the new process to take over.
  ///   - drain: seconds for streams of the old one.
  ///   - process: only this one may be replaced; nil: whichever serves the folder.
  public static func ask(
    dataFolder: String, binary: String?, timeout: Double, drain: Double, process: ProcessID?
  ) async -> UpgradeOutcome {
    let connection: UnixConnection
    do throws(UnixConnection.Failure) {
      connection = try UnixConnection(path: UpgradeDoor.path(DataFolder.absolute(dataFolder)))
    } catch {
      guard case .refused(let failure) = error else { return .unreachable("nobody listens there") }
      return .unreachable(failure.description)
    }
    UpgradeDoor.write(
      UpgradeRequest(binary: binary, timeoutSeconds: timeout, drainSeconds: drain, process: process),
      to: connection)
    // What may come on top: requests under way end, the database is copied, the old process begins again.
    let report: UpgradeReport? = await offload {
      UpgradeDoor.read(connection, within: .seconds(timeout + 120))
    }
    return report.map { .answered($0) } ?? .silent
  }
}
