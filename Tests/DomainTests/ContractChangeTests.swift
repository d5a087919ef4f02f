import Domain
import Planning
import Testing

@Suite struct ContractChangeTests {
  private func array(_ name: String, _ dtype: String?) -> Variable {
    Variable(name: name, type: .ndarray, dtype: dtype, shape: [2])
  }

  private func table(_ name: String, _ columns: [(String, String)]?) -> Variable {
    Variable(name: name, type: .dataFrame, columns: columns?.map { TableColumn(name: $0.0, dtype: $0.1) })
  }

  private func kinds(
    inputs: ([Variable], [Variable]) = ([], []), outputs: ([Variable], [Variable]) = ([], [])
  ) -> [ContractChange.Kind] {
    ContractChange.breaking(from: (inputs.0, outputs.0), to: (inputs.1, outputs.1)).map(\.kind)
  }

  /// Input before, input now, and what breaks; the same pair the other way round is a pair of outputs.
  static let rules: [(Variable, Variable, Bool)] = [
    (Variable(name: "v", type: .int), Variable(name: "v", type: .int), false),
    (Variable(name: "v", type: .int), Variable(name: "v", type: .float), false),
    (Variable(name: "v", type: .float), Variable(name: "v", type: .int), true),
    (Variable(name: "v", type: .str), Variable(name: "v", type: .any), false),
    (Variable(name: "v", type: .any), Variable(name: "v", type: .str), true),
    (Variable(name: "v", type: .dict), Variable(name: "v", type: .list), true),
    (Variable(name: "v", type: .bytes), Variable(name: "v", type: .image), true),
    (Variable(name: "v", type: .datetime), Variable(name: "v", type: .str), true),
    (
      Variable(name: "v", type: .ndarray, dtype: "float32"),
      Variable(name: "v", type: .ndarray, dtype: "float64"), false
    ),
    (
      Variable(name: "v", type: .ndarray, dtype: "float64"),
      Variable(name: "v", type: .ndarray, dtype: "float32"), true
    ),
    (
      Variable(name: "v", type: .ndarray, dtype: "int32"),
      Variable(name: "v", type: .ndarray, dtype: "float64"), false
    ),
    (
      Variable(name: "v", type: .ndarray, dtype: "int64"),
      Variable(name: "v", type: .ndarray, dtype: "float64"), true
    ),
    (
      Variable(name: "v", type: .ndarray, dtype: "uint8"),
      Variable(name: "v", type: .ndarray, dtype: "int16"), false
    ),
    (
      Variable(name: "v", type: .ndarray, dtype: "uint8"),
      Variable(name: "v", type: .ndarray, dtype: "int8"), true
    ),
    (
      Variable(name: "v", type: .ndarray, dtype: "bool"),
      Variable(name: "v", type: .ndarray, dtype: "int64"), true
    ),
    (
      Variable(name: "v", type: .ndarray, dtype: "<U3"),
      Variable(name: "v", type: .ndarray, dtype: "float64"),
      true
    ),
    (
      Variable(name: "v", type: .ndarray, dtype: "float64"), Variable(name: "v", type: .ndarray), false
    ),
    (
      Variable(name: "v", type: .ndarray), Variable(name: "v", type: .ndarray, dtype: "float64"), true
    ),
    (Variable(name: "v", type: .list, dtype: "int"), Variable(name: "v", type: .list, dtype: "float"), true),
    (Variable(name: "v", type: .list, dtype: "str"), Variable(name: "v", type: .list), false),
    (
      Variable(name: "v", type: .ndarray, dtype: "float64", shape: [2]),
      Variable(name: "v", type: .ndarray, dtype: "float64", shape: [9]), false
    ),
  ]

  @Test(arguments: rules.indices) func `types may widen for what is sent and narrow for what comes back`(
    _ index: Int
  ) {
    let (old, new, breaks) = Self.rules[index]
    #expect(kinds(inputs: ([old], [new])) == (breaks ? [.narrowedInput] : []))
    #expect(kinds(outputs: ([new], [old])) == (breaks ? [.widenedOutput] : []))
  }

  @Test func `what is new, gone or elsewhere is named`() {
    let (x, y) = (Variable(name: "x", type: .int), Variable(name: "y", type: .int))
    #expect(kinds(inputs: ([x], [x, y])) == [.newInput])
    #expect(kinds(inputs: ([x, y], [x])) == [.removedInput])
    #expect(kinds(inputs: ([x, y], [y, x])) == [.movedField, .movedField])
    #expect(kinds(outputs: ([x], [x, y])) == [])
    #expect(kinds(outputs: ([x, y], [x])) == [.removedOutput])
    #expect(kinds(outputs: ([y], [x, y])) == [.movedField])
    let found = ContractChange.breaking(from: ([x], []), to: ([x, y], []))
    #expect(found.map(\.description) == ["inputs.y: int is needed that callers don't send"])
  }

  @Test func `columns count one by one`() {
    let two = table("t", [("a", "int64"), ("b", "object")])
    let one = table("t", [("a", "int64")])
    #expect(kinds(inputs: ([one], [two])) == [.newInput])
    #expect(kinds(inputs: ([two], [one])) == [])
    #expect(kinds(outputs: ([two], [one])) == [.removedOutput])
    #expect(kinds(outputs: ([one], [two])) == [])
    #expect(kinds(inputs: ([table("t", [("a", "float64")])], [one])) == [.narrowedInput])
    #expect(kinds(inputs: ([table("t", nil)], [one])) == [.narrowedInput])
    #expect(kinds(inputs: ([one], [table("t", nil)])) == [])
  }

  private func randomVariables(_ random: inout AliasTests.SplitMix) -> [Variable] {
    let dtypes = ["float32", "float64", "int32", "int64", "uint8", "bool", "object", "<U3"]
    var found: [Variable] = []
    for name in ["a", "b", "c"] where Bool.random(using: &random) {
      switch VariableType.allCases.randomElement(using: &random) ?? .any {
      case .ndarray:
        found.append(array(name, Bool.random(using: &random) ? dtypes.randomElement(using: &random) : nil))
      case .dataFrame:
        let columns = ["p", "q"].filter { _ in Bool.random(using: &random) }.map {
          ($0, dtypes.randomElement(using: &random) ?? "object")
        }
        found.append(table(name, Bool.random(using: &random) ? columns : nil))
      case let type: found.append(Variable(name: name, type: type))
      }
    }
    return found
  }

  @Test(arguments: 0..<300)
  func `nothing breaks for oneself, and what breaks nowhere on the way breaks nowhere`(
    _ seed: Int
  ) {
    var random = AliasTests.SplitMix(state: UInt64(seed))
    for _ in 0..<50 {
      let cells = (0..<3).map { _ in (inputs: randomVariables(&random), outputs: randomVariables(&random)) }
      #expect(ContractChange.breaking(from: cells[0], to: cells[0]).isEmpty)
      let steps = [(0, 1), (1, 2)].allSatisfy {
        ContractChange.breaking(from: cells[$0.0], to: cells[$0.1]).isEmpty
      }
      if steps { #expect(ContractChange.breaking(from: cells[0], to: cells[2]).isEmpty) }
    }
  }
}
