//! The plots: cost as it grows.

use crate::wish::{Moment, Who};
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

/// One line: its name, and its points.
pub type Line = (String, Vec<(f64, f64)>);

const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];

/// Draws the lines with both axes logarithmic. A point at 0 stands at the left edge.
pub fn draw(path: &Path, title: &str, x: &str, y: &str, lines: &[Line]) -> Result<(), Box<dyn Error>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::MIN, f64::max);
    let least = |of: fn(&(f64, f64)) -> f64| points().map(of).filter(|value| *value > 0.0).fold(f64::MAX, f64::min);
    let from_zero = points().any(|(x, _)| *x == 0.0);
    let left = if from_zero { least(|point| point.0) / 10.0 } else { least(|point| point.0) };

    let area = SVGBackend::new(path, (820, 480)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .margin_right(260)
        .build_cartesian_2d(
            (left..most(|point| point.0) * 1.05).log_scale(),
            (least(|point| point.1) * 0.7..most(|point| point.1) * 1.5).log_scale(),
        )?;
    let label = |value: &f64| crate::rounds::number(*value).trim_end_matches(".00").trim_end_matches(".0").to_owned();
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .label_style(("sans-serif", 13))
        .light_line_style(RGBColor(240, 240, 240))
        .x_label_formatter(&|value| if from_zero && *value <= left { "0".into() } else { label(value) })
        .y_label_formatter(&label)
        .draw()?;
    for (number, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.max(left), *y)).collect();
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        // The names stand in the margin in a column, each in its line's colour.
        let row = i32::try_from(number)? * 20 + 60;
        area.draw(&Rectangle::new([(575, row - 1), (595, row + 2)], colour.filled()))?;
        area.draw(&Text::new(name.clone(), (602, row - 6), ("sans-serif", 13)))?;
    }
    area.present()?;
    Ok(())
}

/// Draws one `run`: a row for each who does something, and lines from what was written to the one whom it woke.
pub fn draw_run(path: &Path, moments: &[Moment]) -> Result<(), Box<dyn Error>> {
    const ROWS: [(Who, &str); 5] = [
        (Who::ControllerWrites, "the controller writes"),
        (Who::GatewayDecides, "the gateway looks, and"),
        (Who::GatewayWrites, "the gateway writes"),
        (Who::ControllerReads, "the controller reads"),
        (Who::Act, "the command"),
    ];
    let row = |who: Who| ROWS.iter().position(|(row, _)| *row == who).map_or(0.0, |row| 4.0 - row as f64);
    let end = moments.iter().map(|moment| moment.0).fold(1.0, f64::max);
    let area = SVGBackend::new(path, (1000, 460)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("One `run` on an idle gateway", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .margin_left(170)
        .margin_right(60)
        .build_cartesian_2d(0.0..end * 1.02, -0.4..4.9)?;
    chart
        .configure_mesh()
        .x_desc("milliseconds after its start")
        .disable_y_axis()
        .disable_y_mesh()
        .light_line_style(WHITE)
        .draw()?;
    let wakes = |from: Who, to: Who| {
        let after = move |at: f64| moments.iter().find(|moment| moment.1 == to && moment.0 >= at);
        moments.iter().filter(move |moment| moment.1 == from).filter_map(move |moment| Some((moment, after(moment.0)?)))
    };
    let asks = |what: &str| ["begins", "commits", "withdraws", "asks"].contains(&what);
    let asked = wakes(Who::ControllerWrites, Who::GatewayDecides).filter(|(from, _)| asks(&from.2));
    let published = wakes(Who::GatewayWrites, Who::ControllerReads).filter(|(from, _)| from.2 == "publishes");
    for (from, to) in asked.chain(published) {
        let line = [(from.0, row(from.1)), (to.0, row(to.1))];
        chart.draw_series(LineSeries::new(line, COLOURS[7].stroke_width(1)))?;
    }
    for (who, name) in ROWS {
        // A name that would stand on the one before it stands above it.
        let (mut taken, mut level) = (f64::MIN, 0.0);
        for (at, _, what) in moments.iter().filter(|moment| moment.1 == who) {
            chart.draw_series([Circle::new((*at, row(who)), 4, COLOURS[(4.0 - row(who)) as usize + 1].filled())])?;
            if what.is_empty() {
                continue;
            }
            level = if *at < taken { level + 0.17 } else { 0.0 };
            taken = taken.max(*at + end * 0.0095 * what.len() as f64);
            chart.draw_series([Text::new(what.clone(), (*at, row(who) + 0.28 + level), ("sans-serif", 11))])?;
        }
        let (_, y) = chart.backend_coord(&(0.0, row(who)));
        area.draw(&Text::new(name, (14, y - 7), ("sans-serif", 13)))?;
    }
    area.present()?;
    Ok(())
}

/// Draws one bar for each, with a logarithmic axis.
pub fn draw_bars(path: &Path, title: &str, x: &str, bars: &[(String, f64)]) -> Result<(), Box<dyn Error>> {
    let least = bars.iter().map(|bar| bar.1).fold(f64::MAX, f64::min) / 2.0;
    let most = bars.iter().map(|bar| bar.1).fold(f64::MIN, f64::max) * 4.0;
    let area = SVGBackend::new(path, (1000, 70 + 34 * u32::try_from(bars.len())?)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_left(380)
        .x_label_area_size(36)
        .build_cartesian_2d((least..most).log_scale(), 0.0..bars.len() as f64)?;
    chart.configure_mesh().x_desc(x).disable_y_axis().disable_y_mesh().light_line_style(WHITE).draw()?;
    for (number, (name, value)) in bars.iter().enumerate() {
        let middle = (bars.len() - number) as f64 - 0.5;
        let colour = COLOURS[if name.starts_with('`') && !name.starts_with("`etcd") { 1 } else { 7 }];
        chart.draw_series([Rectangle::new([(least, middle - 0.3), (*value, middle + 0.3)], colour.filled())])?;
        let (end, y) = chart.backend_coord(&(*value, middle));
        area.draw(&Text::new(crate::rounds::number(*value), (end + 6, y - 7), ("sans-serif", 12)))?;
        area.draw(&Text::new(name.clone(), (14, y - 7), ("sans-serif", 12)))?;
    }
    area.present()?;
    Ok(())
}
