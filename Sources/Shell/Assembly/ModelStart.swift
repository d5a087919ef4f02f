import CellNodes
import Domain
import DriverAPI
import Environments
import Glibc
import ModelNodes
import Storage
import Telemetry

/// The driver of model nodes as `roost serve` was asked for.
enum ModelStart {
  static func configuration(
    _ configuration: ServeConfiguration, _ data: DataFolder, _ python: PythonFinder, _ logs: NodeLogs,
    _ containers: any InstanceDriver, _ logger: Logger
  ) -> ModelDriverConfiguration {
    ModelDriverConfiguration(
      dataFolder: data.path, python: python.python, pythonPath: python.packageFolder,
      triton: triton(python), sandboxed: configuration.sandbox,
      treeName: CellDriver.treeName(data.path) + "-models",
      environment: { digest in
        EnvironmentStart.files(of: digest, data).flatMap { $0.root == nil ? $0.python : nil }
      },
      now: { AssembledService.now() },
      log: { logger.info("model driver", ["what": .text($0)]) },
      record: { node, instance, release, line in
        logs.append(node, instance: instance, release: release, message: line, at: AssembledService.now())
      }, containers: containers)
  }

  /// Where the wheel is: `ROOST_TRITON`, or `.triton` beside the folder of the Python package.
  private static func triton(_ python: PythonFinder) -> String? {
    let asked = getenv("ROOST_TRITON").map { String(cString: $0) }
    let folders = [asked].compactMap { $0 } + ["\(python.packageFolder)/../../.triton", "/opt/roost/triton"]
    for folder in folders where access("\(folder)/pytriton/tritonserver/bin/tritonserver", X_OK) == 0 {
      guard let resolved = realpath(folder, nil) else { continue }
      defer { free(resolved) }
      return String(cString: resolved)
    }
    return nil
  }
}
