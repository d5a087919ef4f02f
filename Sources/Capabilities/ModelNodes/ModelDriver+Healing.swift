import Domain
import DriverAPI
import Sandboxing
import Synchronization

/// Models whose process has died. Triton goes on saying that they are ready, and answers nothing.
extension ModelDriver {
  /// As Triton's python backend calls the process of a model; the kernel keeps 15 bytes.
  private static let stubName = "triton_python_b"

  /// Finds the processes of an instance's models, so that the end of one is seen at once.
  func findStubs(_ handle: InstanceHandle) {
    let found = ProcFS.descendants(of: handle.pid, named: Self.stubName).compactMap {
      try? ProcessHandle(pid: $0)
    }
    state.withLock { $0.known[handle.instance]?.stubs = found }
  }

  /// Loads a model anew. Meanwhile its instance takes no requests: they wait, or go to others.
  func heal(
    _ handle: InstanceHandle, _ model: ModelPlan.Model, _ triton: TritonClient, _ time: Duration
  ) throws(TritonClient.Trouble) {
    let isMine = state.withLock { state in
      guard state.known[handle.instance]?.isHealing == false else { return false }
      state.known[handle.instance]?.isHealing = true
      state.known[handle.instance]?.isOut = true
      return true
    }
    guard isMine else { return waitForHealing(handle, time) }
    defer { state.withLock { $0.known[handle.instance]?.isHealing = false } }
    tell(
      handle, .leaves, "the Python process of model '\(model.name)' died: the model is loaded anew")
    try triton.reload(model, timeout: time)
    findStubs(handle)
  }

  /// Somebody else loads it.
  private func waitForHealing(_ handle: InstanceHandle, _ time: Duration) {
    let deadline = Deadline(after: time)
    guard let process = ProcessHandle(pid: handle.pid, startTicks: handle.startTicks) else { return }
    while state.withLock({ $0.known[handle.instance]?.isHealing ?? false }), !deadline.hasPassed {
      if process.wait(.milliseconds(50)) { return }
    }
  }

  /// All models of an instance have answered.
  func returned(_ handle: InstanceHandle, _ plan: ModelPlan) {
    let wasOut = state.withLock { state in
      guard let known = state.known[handle.instance], known.isOut, !known.isHealing else { return false }
      state.known[handle.instance]?.isOut = false
      return true
    }
    guard wasOut else { return }
    tell(handle, .returns, "answers again for \(plan.models.map(\.name).joined(separator: ", "))")
  }

  private func tell(_ handle: InstanceHandle, _ rotation: InstanceExit.Rotation, _ message: String) {
    reports.yield(
      InstanceExit(
        node: handle.node, release: handle.release, instance: handle.instance,
        error: LastError(
          phase: .execute, exitClass: .exit, message: "instance \(handle.instance): \(message)",
          at: configuration.now()), rotation: rotation))
  }
}
