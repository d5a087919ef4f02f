/// Checks of what is asked of a ramp. Each error names the field and the fix.
public enum RampValidation {
  /// The plan of a request, whole.
  public static func plan(_ request: StartRampRequest) throws(PlatformError) -> RampPlan {
    var plan = RampPlan()
    plan.steps = request.steps ?? plan.steps
    plan.stepSeconds = request.stepSeconds ?? plan.stepSeconds
    plan.minimumRequests = request.minimumRequests ?? plan.minimumRequests
    if let guards = request.guards {
      plan.maximumErrorRate = guards.errorRate
      plan.maximumP95Increase = guards.p95Increase
    }
    try check(plan)
    return plan
  }

  private static func check(_ plan: RampPlan) throws(PlatformError) {
    guard let first = plan.steps.first, plan.steps.count <= 100 else {
      throw .invalid(
        "steps", "steps: \(plan.steps.count) of them; give 1 to 100 percents, like 1, 5, 25, 50, 100")
    }
    var last = 0
    for (index, percent) in plan.steps.enumerated() {
      let field = "steps[\(index)]"
      guard (1...100).contains(percent) else {
        throw .invalid(field, "\(field): \(percent) is out of range; use 1 to 100 percent")
      }
      guard percent > last else {
        throw .invalid(field, "\(field): \(percent) comes after \(last); the percents must rise")
      }
      last = percent
    }
    guard first < 100 else {
      throw .invalid(
        "steps[0]",
        "steps[0]: at 100 nobody is left to compare with; begin lower, or move all at once with: roost alias update"
      )
    }
    guard plan.stepSeconds.isFinite, (1...604_800).contains(plan.stepSeconds) else {
      throw .invalid(
        "stepSeconds", "stepSeconds: \(plan.stepSeconds) is out of range; use 1 to 604800 (a week)")
    }
    guard (1...1_000_000).contains(plan.minimumRequests) else {
      throw .invalid(
        "minimumRequests", "minimumRequests: \(plan.minimumRequests) is out of range; use 1 to 1000000")
    }
    guard plan.maximumErrorRate != nil || plan.maximumP95Increase != nil else {
      throw .invalid("guards", "guards: none; give errorRate, p95Increase or both, or leave guards out")
    }
    if let rate = plan.maximumErrorRate, !(0.0001...0.5).contains(rate) {
      throw .invalid(
        "guards.errorRate", "guards.errorRate: \(rate) is out of range; use 0.0001 to 0.5 (0.01 to 50 %)")
    }
    if let increase = plan.maximumP95Increase, !(0.01...10).contains(increase) {
      throw .invalid(
        "guards.p95Increase", "guards.p95Increase: \(increase) is out of range; use 0.01 to 10 (1 to 1000 %)")
    }
  }
}
