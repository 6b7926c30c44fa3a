//! One panel in a few words: what it shows, in which unit, what it means, and from where on that is bad.

use serde_json::{Value, json};

use super::datasource;

/// The width of a dashboard.
const WIDE: u64 = 24;

/// Panels of one height under a headline.
pub struct Row {
    title: &'static str,
    height: u64,
    panels: Vec<Panel>,
}

/// A panel that is being put together.
pub struct Panel {
    json: Value,
    width: u64,
}

/// In which direction a figure gets bad.
enum Bad {
    Above(f64, f64),
    Below(f64, f64),
}

// === impl Row ===

impl Row {
    /// Tiles: one figure each.
    #[must_use]
    pub fn tiles(title: &'static str, panels: impl Into<Vec<Panel>>) -> Self {
        Self { title, height: 4, panels: panels.into() }
    }

    /// Charts.
    #[must_use]
    pub fn charts(title: &'static str, panels: impl Into<Vec<Panel>>) -> Self {
        Self { title, height: 9, panels: panels.into() }
    }

    /// Adds the headline and the panels from left to right, in as many lines as it takes; gives where the next row begins.
    pub(super) fn lay(&self, panels: &mut Vec<Value>, top: u64) -> u64 {
        panels.push(json!({
            "type": "row", "title": self.title, "collapsed": false, "panels": [],
            "gridPos": {"x": 0, "y": top, "w": WIDE, "h": 1},
        }));
        let (mut x, mut y) = (0, top + 1);
        for panel in &self.panels {
            if x + panel.width > WIDE {
                (x, y) = (0, y + self.height);
            }
            let mut json = panel.json.clone();
            json["gridPos"] = json!({"x": x, "y": y, "w": panel.width, "h": self.height});
            panels.push(json);
            x += panel.width;
        }
        y + self.height
    }
}

// === impl Panel ===

impl Panel {
    /// A figure with its course behind it.
    #[must_use]
    pub fn stat(title: &str, unit: &str, about: &str) -> Self {
        let options = json!({
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto",
            "textMode": "auto", "wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard",
        });
        let mut panel = Self::new("stat", title, unit, about, options).wide(4);
        panel.json["fieldConfig"]["defaults"]["color"] = json!({"mode": "thresholds"});
        panel
    }

    /// Lines over time.
    #[must_use]
    pub fn lines(title: &str, unit: &str, about: &str) -> Self {
        let options = json!({
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max", "lastNotNull"], "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        });
        let mut panel = Self::new("timeseries", title, unit, about, options).wide(12);
        let defaults = &mut panel.json["fieldConfig"]["defaults"];
        defaults["color"] = json!({"mode": "palette-classic"});
        defaults["min"] = json!(0);
        defaults["custom"] = json!({
            "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 10, "gradientMode": "none",
            "pointSize": 5, "showPoints": "never", "spanNulls": false, "insertNulls": false, "barAlignment": 0,
            "axisPlacement": "auto", "axisLabel": "", "axisColorMode": "text", "axisCenteredZero": false, "axisBorderShow": false,
            "scaleDistribution": {"type": "linear"}, "hideFrom": {"legend": false, "tooltip": false, "viz": false},
            "stacking": {"group": "A", "mode": "none"}, "thresholdsStyle": {"mode": "off"},
        });
        panel
    }

    /// The same, one upon the other.
    #[must_use]
    pub fn stacked(title: &str, unit: &str, about: &str) -> Self {
        let mut panel = Self::lines(title, unit, about);
        let custom = &mut panel.json["fieldConfig"]["defaults"]["custom"];
        custom["stacking"]["mode"] = json!("normal");
        custom["fillOpacity"] = json!(40);
        panel
    }

    /// How many measurements fell into which bucket when: the buckets of `histogram`, narrowed by `selector`.
    #[must_use]
    pub fn heatmap(title: &str, unit: &str, about: &str, histogram: &str, selector: &str) -> Self {
        let options = json!({
            "calculate": false, "cellGap": 1, "cellValues": {"unit": "short", "decimals": 0},
            "color": {
                "mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "reverse": false, "steps": 64,
                "scale": "exponential", "exponent": 0.5,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"}, "filterValues": {"le": 1e-9}, "legend": {"show": true},
            "rowsFrame": {"layout": "auto"}, "showValue": "never",
            "tooltip": {"mode": "single", "yHistogram": true, "showColorScale": true},
            "yAxis": {"axisPlacement": "left", "reverse": false, "unit": unit},
        });
        let mut panel = Self::new("heatmap", title, unit, about, options).wide(12);
        panel.json["fieldConfig"]["defaults"]["custom"] = json!({
            "hideFrom": {"legend": false, "tooltip": false, "viz": false}, "scaleDistribution": {"type": "linear"},
        });
        let mut panel =
            panel.ask("{{le}}", &format!("sum by (le) (increase({histogram}_bucket{{{selector}}}[%rate]))"));
        panel.json["targets"][0]["format"] = json!("heatmap");
        panel
    }

    fn new(kind: &str, title: &str, unit: &str, about: &str, options: Value) -> Self {
        let json = json!({
            "type": kind, "title": title, "description": about, "datasource": datasource(), "targets": [], "options": options,
            "fieldConfig": {
                "defaults": {
                    "unit": unit, "noValue": "nothing yet", "mappings": [], "links": [],
                    "thresholds": {"mode": "absolute", "steps": [{"color": "blue", "value": null}]},
                },
                "overrides": [],
            },
        });
        Self { json, width: WIDE }
    }

    /// Its width, of 24.
    #[must_use]
    pub fn wide(mut self, width: u64) -> Self {
        self.width = width;
        self
    }

    /// Adds a query. In it `%asks` narrows to what was chosen above and leaves the canaries' out, `%job` to the job alone, and
    /// `%rate` is the interval that rates are taken over.
    #[must_use]
    pub fn ask(mut self, legend: &str, expr: &str) -> Self {
        let expr = expr
            .replace("%asks", r#"job=~"$job",route=~"$route",tenant=~"$tenant",channel!="canary""#)
            .replace("%routes", r#"job=~"$job",route=~"$route""#)
            .replace("%tenants", r#"job=~"$job",tenant=~"$tenant""#)
            .replace("%job", r#"job=~"$job""#)
            .replace("%rate", "$__rate_interval");
        if let Some(targets) = self.json["targets"].as_array_mut() {
            let id = char::from(b'A' + targets.len() as u8).to_string();
            // what is asked of the whole range at once is one figure, not a course
            let whole = expr.contains("$__range");
            targets.push(json!({
                "refId": id, "datasource": datasource(), "expr": expr, "legendFormat": legend, "format": "time_series",
                "editorMode": "code", "range": !whole, "instant": whole,
            }));
        }
        self
    }

    /// Half of all, and the slowest in twenty and in a hundred, of the buckets of `histogram`.
    #[must_use]
    pub fn percentiles(mut self, histogram: &str, selector: &str) -> Self {
        for (legend, share) in [("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99")] {
            self = self.ask(
                legend,
                &format!(
                    "histogram_quantile({share}, sum by (le) (rate({histogram}_bucket{{{selector}}}[%rate])))"
                ),
            );
        }
        self
    }

    /// The slowest in twenty of each value of a label.
    #[must_use]
    pub fn p95_by(self, label: &str, histogram: &str, selector: &str) -> Self {
        let buckets = format!("sum by (le, {label}) (rate({histogram}_bucket{{{selector}}}[%rate]))");
        self.ask(&format!("{{{{{label}}}}}"), &format!("histogram_quantile(0.95, {buckets})"))
    }

    /// From where on a high figure wants a look, and from where on it is bad.
    #[must_use]
    pub fn bad_above(self, look: f64, bad: f64) -> Self {
        self.limits(&Bad::Above(look, bad))
    }

    /// Below what a low figure is bad, and below what it wants a look.
    #[must_use]
    pub fn bad_below(self, bad: f64, look: f64) -> Self {
        self.limits(&Bad::Below(bad, look))
    }

    fn limits(mut self, bad: &Bad) -> Self {
        let steps = match *bad {
            Bad::Above(look, bad) => [(None, "green"), (Some(look), "orange"), (Some(bad), "red")],
            Bad::Below(bad, look) => [(None, "red"), (Some(bad), "orange"), (Some(look), "green")],
        };
        let steps = steps.map(|(value, color)| json!({"color": color, "value": value}));
        let defaults = &mut self.json["fieldConfig"]["defaults"];
        defaults["thresholds"]["steps"] = json!(steps);
        if let Some(style) = defaults.pointer_mut("/custom/thresholdsStyle/mode") {
            *style = json!("dashed");
        }
        self
    }

    /// What values are called instead, and in which colour.
    #[must_use]
    pub fn called(mut self, names: &[(&str, &str, &str)]) -> Self {
        let name = |(index, (value, text, color)): (usize, &(&str, &str, &str))| {
            ((*value).to_owned(), json!({"index": index, "text": text, "color": color}))
        };
        let options: serde_json::Map<_, _> = names.iter().enumerate().map(name).collect();
        self.json["fieldConfig"]["defaults"]["mappings"] = json!([{"type": "value", "options": options}]);
        self
    }

    /// A figure for each series, with the series' name.
    #[must_use]
    pub fn named(mut self) -> Self {
        self.json["options"]["textMode"] = json!("value_and_name");
        self.json["options"]["graphMode"] = json!("none");
        self
    }

    /// Leads to a screen of the owner console at the time that is shown, with a further filter such as
    /// `&status=${__field.labels.status}`.
    #[must_use]
    pub fn opens(mut self, screen: &str, filter: &str) -> Self {
        let url = format!(
            "${{console}}/owner?screen={screen}&range=custom&since=${{__from:date:seconds}}&until=${{__to:date:seconds}}{filter}"
        );
        let link = json!({"title": format!("Owner console: {screen}"), "url": url, "targetBlank": true});
        if let Some(links) = self.json["fieldConfig"]["defaults"]["links"].as_array_mut() {
            links.push(link);
        }
        self
    }
}
