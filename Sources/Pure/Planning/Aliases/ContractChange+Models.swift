public import Domain

extension ContractChange {
  /// What breaks for callers who know the models of `old` when `new` answers. Requests name the datatype of each tensor, so another one
  /// always breaks; a length may become any length (-1) where it is sent, and the reverse where it comes back.
  public static func breaking(from old: [PlacedModel], to new: [PlacedModel]) -> [ContractChange] {
    var found: [ContractChange] = []
    var seen: Set<String> = []
    for name in old.map(\.name) where seen.insert(name).inserted {
      let versions = old.filter { $0.name == name }
      let others = new.filter { $0.name == name }
      // All versions have the same inputs and outputs, in the order of the one that answers by default.
      let (model, other) = (versions.max { $0.number < $1.number }, others.max { $0.number < $1.number })
      guard let model, let other else {
        found.append(
          ContractChange(
            .removedModel, "models.\(name)", "is not served; a model is served under its name by NAME=MODEL")
        )
        continue
      }
      found += breaking(from: model.facts, to: other.facts, "models.\(name)")
      for gone in versions where !others.contains(where: { $0.number == gone.number }) {
        found.append(
          ContractChange(
            .removedModel, "models.\(name).versions.\(gone.number)",
            "is not served; a model is served as a version by NAME:VERSION=MODEL"))
      }
    }
    let count = Set(new.map(\.name)).count
    if seen.count == 1, count > 1, found.isEmpty {
      found.append(
        ContractChange(
          .addedModel, "models",
          "are \(count) now: execute needs the model's name, and typed services have other names"))
    }
    return found
  }

  private static func breaking(
    from old: ModelFacts, to new: ModelFacts, _ model: String
  ) -> [ContractChange] {
    var found: [ContractChange] = []
    for (index, input) in new.inputs.enumerated() {
      let path = "\(model).inputs.\(input.name)"
      guard let place = old.inputs.firstIndex(where: { $0.name == input.name }) else {
        found.append(ContractChange(.newInput, path, "\(form(input)) is needed that callers don't send"))
        continue
      }
      let sent = old.inputs[place]
      if !takes(input, sent) {
        found.append(ContractChange(.narrowedInput, path, "\(form(sent)) became \(form(input))"))
      }
      if place != index { found.append(moved(path, place, index)) }
    }
    for input in old.inputs where !new.inputs.contains(where: { $0.name == input.name }) {
      found.append(
        ContractChange(
          .removedInput, "\(model).inputs.\(input.name)",
          "is no input any more; requests that send it are refused"))
    }
    for (index, output) in old.outputs.enumerated() {
      let path = "\(model).outputs.\(output.name)"
      guard let place = new.outputs.firstIndex(where: { $0.name == output.name }) else {
        found.append(ContractChange(.removedOutput, path, "is missing in answers"))
        continue
      }
      let given = new.outputs[place]
      if !takes(output, given) {
        found.append(ContractChange(.widenedOutput, path, "\(form(output)) became \(form(given))"))
      }
      if place != index { found.append(moved(path, index, place)) }
    }
    return found
  }

  /// `FP32[-1,8]`
  private static func form(_ tensor: ModelTensor) -> String {
    String(tensor.text.dropFirst(tensor.name.count + 1))
  }

  /// Whether every tensor of `sent` is one of `accepted`.
  private static func takes(_ accepted: ModelTensor, _ sent: ModelTensor) -> Bool {
    accepted.datatype == sent.datatype && accepted.shape.count == sent.shape.count
      && zip(accepted.shape, sent.shape).allSatisfy { $0 == -1 || $0 == $1 }
  }
}
